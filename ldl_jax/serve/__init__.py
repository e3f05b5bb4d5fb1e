"""A server of answers for pictures that come over HTTP; needs the extra `serve`."""
