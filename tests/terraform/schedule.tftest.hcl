# The schedule: how the function reads it, and what is refused at plan time.

mock_provider "aws" {
  source = "./tests/terraform/mocks"
}

variables {
  checks_enabled       = false # the mocked service rule has no conditions, whatever is given
  parked_rule_priority = 40000
  dashboard_enabled    = true
}

run "the_function_gets_the_hours_and_the_rule_of_the_time_zone" {
  variables {
    schedule = {
      time_zone = "Europe/Berlin"
      awake     = [{ days = ["mon", "fri"], from = "08:55", to = "18:00" }, { from = "22:00", to = "02:00" }]
      closed    = [{ days = ["sat", "sun"], from = "00:00", to = "24:00" }]
      except    = ["2026-12-25", "2028-02-29"]
    }
  }

  assert {
    condition = jsondecode(local.environment.SCHEDULE) == {
      zone   = "Europe/Berlin"
      rule   = "CET-1CEST,M3.5.0,M10.5.0/3"
      awake  = ["mon,fri 08:55-18:00", "mon,tue,wed,thu,fri,sat,sun 22:00-02:00"]
      closed = ["sat,sun 00:00-24:00"]
      except = ["2026-12-25", "2028-02-29"]
    }
    error_message = "the schedule is given as parse_schedule() reads it"
  }

  assert {
    condition     = strcontains(jsonencode(local.dashboard_rows), "Awake mon, fri 08:55-18:00")
    error_message = "the dashboard tells the hours"
  }
}

run "closed_hours_of_all_but_a_minute_of_the_week_are_taken" {
  variables {
    schedule = { time_zone = "UTC", closed = [{ from = "00:01", to = "00:00" }] }
  }

  assert {
    condition     = jsondecode(local.environment.SCHEDULE) == { zone = "UTC", rule = "UTC0", closed = ["mon,tue,wed,thu,fri,sat,sun 00:01-00:00"] }
    error_message = "what is empty is left out"
  }
}

run "refuses_a_time_zone_without_a_yearly_rule" {
  command = plan

  variables {
    schedule = { time_zone = "Asia/Gaza", awake = [{ from = "08:00", to = "18:00" }] }
  }

  expect_failures = [var.schedule]
}

run "refuses_a_time_zone_that_is_null" {
  command = plan

  variables {
    schedule = { time_zone = null, awake = [{ from = "08:00", to = "18:00" }] }
  }

  expect_failures = [var.schedule]
}

run "refuses_a_schedule_without_hours" {
  command = plan

  variables {
    schedule = { time_zone = "UTC" }
  }

  expect_failures = [var.schedule]
}

run "refuses_days_of_other_names" {
  command = plan

  variables {
    schedule = { time_zone = "UTC", awake = [{ days = ["Monday"], from = "08:00", to = "18:00" }] }
  }

  expect_failures = [var.schedule]
}

run "refuses_a_time_that_no_clock_shows" {
  command = plan

  variables {
    schedule = { time_zone = "UTC", closed = [{ from = "24:00", to = "8:00" }] }
  }

  expect_failures = [var.schedule]
}

run "refuses_hours_that_end_when_they_begin" {
  command = plan

  variables {
    schedule = { time_zone = "UTC", awake = [{ from = "08:00", to = "08:00" }] }
  }

  expect_failures = [var.schedule]
}

run "refuses_dates_that_do_not_exist" {
  command = plan

  variables {
    schedule = { time_zone = "UTC", awake = [{ from = "08:00", to = "18:00" }], except = ["2026-02-30"] }
  }

  expect_failures = [var.schedule]
}

run "refuses_hours_that_close_the_whole_week" {
  command = plan

  variables {
    schedule = { time_zone = "UTC", closed = [{ from = "00:00", to = "24:00" }] }
  }

  expect_failures = [var.schedule]
}
