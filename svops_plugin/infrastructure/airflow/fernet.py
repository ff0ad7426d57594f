"""Airflow's Fernet key, with which SVOps keeps its secrets, too; with older keys in the list it reads on."""

from __future__ import annotations

from cryptography.fernet import InvalidToken

from svops_plugin.domain.errors import ConfigurationProblem


class FernetCipher:
    """Encrypts as Airflow does its connections; see ``application.notification_ports.Cipher``."""

    def encrypt(self, words: str) -> str:
        """Return what may be stored.

        :raises ConfigurationProblem: if Airflow has no key, and would store as it is what it is given
        """
        from airflow.models.crypto import get_fernet

        fernet = get_fernet()
        if not fernet.is_encrypted:
            raise ConfigurationProblem("Secrets cannot be kept: set [core] fernet_key.")
        return fernet.encrypt(words.encode()).decode()

    def decrypt(self, stored: str) -> str:
        """Return what was encrypted.

        :raises ConfigurationProblem: if the key is not among Airflow's any more, or Airflow has none, and
            would return as it is what it is given
        """
        from airflow.models.crypto import get_fernet

        fernet = get_fernet()
        if not fernet.is_encrypted:
            raise ConfigurationProblem("Secrets cannot be read: set [core] fernet_key as it was before.")
        try:
            return fernet.decrypt(stored.encode()).decode()
        except InvalidToken as unknown:
            raise ConfigurationProblem(
                "A secret was encrypted with a key that is not in [core] fernet_key any more; set it anew."
            ) from unknown
