"""Policies behind other projects' servers, as Ferry's own: one contract, one session, every answer checked."""
