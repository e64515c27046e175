"""Audit messages of PS3.15 section A.5 and their way to a repository: syslog over TLS."""
