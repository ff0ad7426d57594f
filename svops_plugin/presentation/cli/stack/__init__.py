"""The local stack: PostgreSQL, Airflow and SVOps on one machine, behind ``svops up`` and ``svops demo``.

Two of the modules are programs of their own, run by path so that they start in a moment: ``postgres``
becomes the database server, ``reaper`` ends what a killed supervisor leaves. ``prepare`` is run with the
stack's environment set, since Airflow reads it when it is imported; nothing else here imports Airflow.
"""
