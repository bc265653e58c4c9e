"""What a lesson is: parse a source, release it into the two trees, prove it, mutate it."""
