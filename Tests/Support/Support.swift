// Support shared by tests.
