"""The HTTP door: api/ for programs, admin/ for people."""
