# frozen_string_literal: true

# The jobs of the shop, on Sidekiq. JOBS_URL and RESULTS_URL are the databases, NAMESPACE is the prefix of the keys.

require "json"
require "sidekiq"
require "sidekiq/api"

# This Sidekiq makes calls that the newer client library deprecates.
Redis.silence_deprecations = true

# Leaves the test a note about each job that was done.
class Notes
  def call(_worker, job, queue)
    yield
    note = job.slice("class", "jid", "args", "retry_count").merge("queue" => queue)
    Redis.new(url: ENV.fetch("RESULTS_URL")).rpush("done", JSON.generate(note))
  end
end

redis = { url: ENV.fetch("JOBS_URL"), namespace: ENV["NAMESPACE"] }.compact
Sidekiq.configure_client { |config| config.redis = redis }
Sidekiq.configure_server do |config|
  config.redis = redis
  # The interval, in seconds, at which it looks for jobs that are due.
  config.options[:poll_interval_average] = 0.1
  config.server_middleware { |chain| chain.add(Notes) }
end

module Shop
  class SendMail
    include Sidekiq::Worker

    def perform(*); end
  end

  class Charge
    include Sidekiq::Worker
    sidekiq_options queue: "money"
    sidekiq_retry_in { 3600 }

    def perform(why)
      raise why
    end
  end

  # Runs until its worker ends.
  class KeepShop
    include Sidekiq::Worker

    def perform
      sleep
    end
  end

  # Like Sidekiq's web page.
  def self.quiet_workers
    Sidekiq::ProcessSet.new.map(&:quiet!)
  end
end
