"""HTTP itself: endpoints, auth, schemas, problems, event streams, static files."""
