# frozen_string_literal: true

# Calls Sidekiq as an application does: reads the calls from stdin as JSON, prints what they return as JSON.

require_relative "workers"

returned = JSON.parse($stdin.read).map do |call|
  receiver = Object.const_get(call.fetch("to"))
  receiver = receiver.set(call["set"].transform_keys(&:to_sym)) if call["set"]
  receiver.public_send(*call.fetch("call"))
end
puts JSON.generate(returned)
