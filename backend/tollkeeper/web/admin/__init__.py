"""Pages for people, under /admin: one file per page, put together by frame.py."""
