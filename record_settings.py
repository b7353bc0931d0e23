"""Settings of what outlives a conversation: records, recordings, events and alerts."""

from dataclasses import dataclass

import setting_values as read


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSettings:
    """What an operator can choose of them."""

    conversations_table: str = read.setting(
        "CONVERSATIONS_TABLE", "Table of what was said in conversations.", read.table_name, "NovaSonicConversations"
    )
    is_conversation_recorded: bool = read.setting(
        "RECORD_CONVERSATIONS",
        "yes writes down every turn of a conversation as text; no writes down none. An assistant can be left out in its own file.",
        read.yes_or_no,
        True,
        shown="yes",
    )
    conversation_days: int = read.setting(
        "CONVERSATION_DAYS", "How long what was said in a conversation is kept.", read.number(1, 3_650), 90, unit="days"
    )
    patients_table: str = read.setting("PATIENTS_TABLE", "Table of the companion's patients.", read.table_name, "buddy-patients")
    relatives_table: str = read.setting("RELATIVES_TABLE", "Table of the relatives of patients.", read.table_name, "buddy-relatives")
    routine_table: str = read.setting("ROUTINE_TABLE", "Table of what patients do every day.", read.table_name, "buddy-routine")
    reminders_table: str = read.setting(
        "REMINDERS_TABLE", "Table of what patients want to be reminded of.", read.table_name, "buddy-reminders"
    )
    alerts_per_session: int = read.setting(
        "COMPANION_ALERTS_PER_SESSION",
        "How often the companion may send for the people who look after a patient within one conversation.",
        read.number(0, 20),
        3,
    )
