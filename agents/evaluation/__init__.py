"""How good, how fast and how far from its teacher a policy is: outputs, speed, exposure bias."""
