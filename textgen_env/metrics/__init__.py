"""BLEU, chrF, ROUGE and accuracy, with confidence intervals and significance tests."""
