"""What the campaigns against the review page share: a team's database, and the page served."""
