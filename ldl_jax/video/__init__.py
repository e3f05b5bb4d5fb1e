"""Answers for the faces in films and cameras: each face is followed, and its frames are pooled."""
