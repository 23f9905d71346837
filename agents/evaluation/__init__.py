"""Test outputs, speed, exposure bias."""
