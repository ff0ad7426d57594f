"""What SVOps is about: entities, their states, and the rules that hold whatever is around them."""
