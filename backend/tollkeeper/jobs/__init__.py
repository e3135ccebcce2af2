"""Time's door: the timetable as code, one leader, a runner that counts and logs, and the test clock's advance."""
