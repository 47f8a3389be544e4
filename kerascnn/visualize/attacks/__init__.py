"""Images changed a little so that a network says something else, and twins that it cannot tell apart."""
