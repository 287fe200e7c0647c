"""Our operator: ``malle_slice`` and everything that implements it. Import the module you need."""
