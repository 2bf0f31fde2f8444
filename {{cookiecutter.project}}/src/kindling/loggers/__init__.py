"""Where metrics go: a CSV file, TensorBoard, W&B, Comet and MLflow."""
