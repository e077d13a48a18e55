# frozen_string_literal: true

# Calls Sidekiq like an application: reads the calls from stdin as JSON, prints their results as JSON.

require_relative "workers"

returned = JSON.parse($stdin.read).map do |call|
  receiver = Object.const_get(call.fetch("to"))
  receiver = receiver.set(call["set"].transform_keys(&:to_sym)) if call["set"]
  receiver.public_send(*call.fetch("call"))
end
puts JSON.generate(returned)
