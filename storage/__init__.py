"""What outlives a session: tables as data, one table interface with two drivers, and repositories written once on top."""
