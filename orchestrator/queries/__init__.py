"""The queries of people and clients: lists, queues, timelines, changes, metrics, attention."""
