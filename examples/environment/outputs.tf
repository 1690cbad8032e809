output "url" {
  description = "Where the web server is. The API is at /api/greeting, unless the web server reaches it by Service Connect."
  value       = "http://${aws_lb.this.dns_name}"
}

output "status_url" {
  description = "URL of the status."
  value       = "http://${aws_lb.this.dns_name}${module.scale_to_zero.status_path}"
}

output "queue_url" {
  description = "URL of the worker's queue. A message in it wakes the environment."
  value       = aws_sqs_queue.jobs.url
}

output "database_identifier" {
  description = "Identifier of the database."
  value       = aws_db_instance.main.identifier
}

output "function_name" {
  description = "Name of the warmkeeper, to invoke with a command."
  value       = module.scale_to_zero.function_name
}

output "load_balancer_name" {
  description = "Name of the load balancer."
  value       = aws_lb.this.name
}

output "cluster_name" {
  description = "Name of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "service_names" {
  description = "Names of the services: api, web and worker."
  value       = merge({ web = aws_ecs_service.web.name }, { for key, service in aws_ecs_service.this : key => service.name })
}

output "table_name" {
  description = "Name of the table with the memory."
  value       = module.scale_to_zero.table_name
}
