"""How the next actions are chosen: the actor's forward pass without overhead, and every kind of noise."""
