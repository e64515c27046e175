"""The training room: what is fitted on a cohort and goes into a bundle; nothing here runs at inference."""
