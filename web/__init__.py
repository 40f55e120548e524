"""What the farm offers over HTTPS, in a process of its own that talks to the database only: so far, enrolment."""
