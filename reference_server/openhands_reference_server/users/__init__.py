"""Who the users are, what shows it, how often they may ask, and a world for each of them."""
