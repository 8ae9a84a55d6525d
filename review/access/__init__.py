"""Who may see and do what on the review page: the door, its guard, and the table of rights."""
