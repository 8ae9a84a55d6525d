"""The fault campaign: break everything that ingest rests on, and look at the result from outside.

``make faults`` runs it whole; ``tests/integration/test_faults_slice.py`` runs a slice of it and
shows that it finds bugs that were planted. ``worker`` runs the real pipeline in processes that may
be killed; ``oracle`` knows nothing of our code but the names of tables.
"""
