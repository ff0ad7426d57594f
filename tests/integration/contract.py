"""The fields of the wire contract, by what they describe."""

CHAIN = ["data_processing_pipeline", "ml_training_pipeline", "simple_workflow_example"]
USER = {"id", "username", "email", "name", "is_active", "is_superuser", "roles", "created_at"}
TOKENS = {"access_token", "refresh_token", "token_type", "expires_in", "user"}
DATASET = {
    "id",
    "name",
    "description",
    "path",
    "data_type",
    "gt_path",
    "created_by_id",
    "created_at",
    "updated_at",
    "tags",
    "profile",
    "fingerprint",
    "version",
}
CONFIGURATION = {
    "branch_name",
    "commit_id",
    "build_config",
    "build_config_customized",
    "build_config_custom_conf",
    "build_config_custom_ini",
}
TASK = {
    "id",
    "name",
    "description",
    "customer",
    "log_out_path",
    "status",
    "created_at",
    "updated_at",
    "created_by_id",
    "configuration",
    "dataset",
    "video_output",
    "status_reason",
    "last_execution_id",
    "result",
    "tags",
    "version",
}
STATUS = {
    "task_id",
    "task_status",
    "task_name",
    "dag_chain",
    "workflow_runs",
    "total_workflow_runs",
    "overall_status",
    "execution_id",
    "attempt",
    "progress",
    "error",
}
RUN = {
    "id",
    "workflow_id",
    "status",
    "trigger_type",
    "configuration",
    "start_date",
    "end_date",
    "execution_date",
    "triggered_by",
    "external_trigger_id",
    "note",
    "dag_id",
    "position",
    "progress",
    "error",
}
