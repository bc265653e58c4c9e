"""Submissions in, scores and feedback out: collect, run, score, feedback, each a stage of its own.

A job (a submission and the master of its lesson) goes to a worker, which holds no database; a result comes back, and
one writer puts it in nbgrader's gradebook. `autograder.grade.command` is where it begins. Nothing is imported here:
the processes that run submissions load no more than they need.
"""
