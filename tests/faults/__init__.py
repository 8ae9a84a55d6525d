"""The fault campaign: break everything that ingest rests on, and look at the result from outside.

``make faults`` runs it whole, ``ONLY=power,lines`` single rows and families;
``tests/integration/test_faults_slice.py`` runs a slice of it and shows that it finds bugs that were
planted. ``worker`` runs the real pipeline in processes that may be killed, ``limits`` the real
command; ``oracle`` knows nothing of our code but the names of tables.

By the numbers of the fault matrix (reliability notes, section 2), rows about ingest stand here,
but for:

- 6, power cut of PostgreSQL: not yet; it has a campaign of its own with backups (56).
- 33 (a wrong password), 34 (tokens), 35 (IDLE), 36 (TLS): one test for each way of failing, in
  ``test_imap_source.py``, ``test_oauth.py`` and ``test_watch.py`` of the integration tests. Nothing
  in them depends on the moment, so that many trials would tell no more. STARTTLS is never spoken,
  which leaves nothing to strip.
- 5 models a power cut as the loss of what is not synced. Torn sectors and reordered writes take a
  device mapper, which the kernel of the test machines lacks.
- 13 has no log directory to fill: what is said goes to standard output and error. An attachment's
  folder that is full is in ``tests/integration/test_attachments_by_command.py``.

Not about ingest, and elsewhere or not yet: 42-44 (job queues, Dask), 47 (models),
50-53 (staff, outbox), 54 (flood), 56, 57 (backup, erasure).

Rows of the family ``disks`` mount file systems, and ``nowhere`` does in a namespace of its own;
they are left out, and say so, for whoever is not root.
"""
