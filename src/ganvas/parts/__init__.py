"""Named mathematics that several models share, each with its closed-form test."""
