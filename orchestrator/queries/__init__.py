"""What people look at: lists, queues, timelines, changes, metrics, attention."""
