"""What runs inside a learner's notebook: `%%check`, progress, figures, embedded services."""
