"""Learners that keep the rewards of their users private."""
