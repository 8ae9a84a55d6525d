"""The fault campaign: break everything that ingest rests on, and look at the result from outside.

``make faults`` runs it whole, ``ONLY=power,lines`` single rows and families;
``tests/integration/test_faults_slice.py`` runs a slice of it and shows that it finds bugs that were
planted. ``worker`` runs the real pipeline in processes that may be killed, ``limits`` the real
command; ``oracle`` knows nothing of our code but the names of tables.

By the numbers of the fault matrix (reliability notes, section 2), rows about ingest stand here,
but for:

- 33 (a wrong password), 34 (tokens), 35 (IDLE), 36 (TLS): one test for each way of failing, in
  ``test_imap_source.py``, ``test_oauth.py`` and ``test_watch.py`` of the integration tests. Nothing
  in them depends on the moment, so that many trials would tell no more. STARTTLS is never spoken,
  which leaves nothing to strip.
- 5 and 6 model a power cut as the loss of what is not synced. Torn sectors and reordered writes
  take a device mapper, which the kernel of the test machines lacks. Each has a control that must
  lose something: databases whose commits wait for no disk.
- 41 has a clock wrong for our modules alone, with kills (``clocks-killed``), and one wrong or
  jumping for the whole command, by libfaketime (family ``clocks``).
- 13 has no log directory to fill: what is said goes to standard output and error. An attachment's
  folder that is full is in ``tests/integration/test_attachments_by_command.py``.

Not about ingest, but here: 47 (``models``, whose control must find its mail ready), 48
(``migrations``), 49 (``exports``), 56 (``backups``), 57 (``erasure``); 44 (``clusters``, Dask).
Elsewhere or not yet: 42, 43 (job queues), 50-53 (staff, outbox), 54 (flood). All of it at once, for
an hour, with people and deliveries beside it, is ``make soak``.

Rows of the family ``disks`` mount file systems, and ``nowhere`` does in a namespace of its own;
they are left out, and say so, for whoever is not root.
"""
