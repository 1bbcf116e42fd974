"""Tests of whole commands, make targets and the run folders they leave."""
