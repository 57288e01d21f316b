package admin

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"socialctl/social"
)

// How often the outbox is counted at most, however often somebody asks, and how long that may take.
const (
	outboxEvery    = 10 * time.Second
	outboxPatience = 3 * time.Second
)

// Collectors are what a serving process adds to its /metrics. They start nothing: everything is read when /metrics is.
func Collectors(b *social.Backend) []prometheus.Collector {
	return []prometheus.Collector{&collector{b: b}}
}

// collector shows how the pools, the workers, the outbox and the caches of a process stand.
type collector struct {
	b *social.Backend

	mu      sync.Mutex // one count of the outbox at a time
	counted time.Time
	outbox  []social.OutboxStatus
	failed  float64
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("socialctl_"+name, help, labels, nil)
}

var (
	poolConnections = describe("sql_connections", "Connections of this process to a shard, or to meta, by state.", "shard", "state")
	poolWaits       = describe("sql_waits_total", "Times that a connection of a pool had to be waited for.", "shard")
	poolWaited      = describe("sql_waited_seconds_total", "Time that connections of a pool were waited for.", "shard")

	jobPages   = describe("job_pages_total", "Pages of jobs that this process has worked off, by kind.", "kind")
	jobFailed  = describe("job_pages_failed_total", "Pages of jobs that failed and are tried again, by kind.", "kind")
	jobSeconds = describe("job_seconds_total", "Time spent on pages of jobs, by kind.", "kind")

	outboxDepth   = describe("outbox_effects", "Effects and jobs that a shard owes, by kind; counted every 10 s at most.", "shard", "kind")
	outboxDue     = describe("outbox_due_effects", "Of these, those that are due and that nobody holds.", "shard", "kind")
	outboxAge     = describe("outbox_oldest_seconds", "Age of the oldest of them.", "shard", "kind")
	outboxOverdue = describe("outbox_overdue_seconds", "How long the one that has been due the longest has been due.", "shard", "kind")
	outboxFailed  = describe("outbox_counts_failed_total", "Times that the outbox could not be counted.")

	clockAhead = describe("messages_ahead_total", "Messages stored with a time more than 5 s ahead of this process's clock: the clocks of servers differ.")

	cacheCopies = describe("cache_copies_total", "Uses of this process's copies of rows, by kind and outcome: hit or miss.", "kind", "outcome")
	cacheTags   = describe("cache_tags_total", "Tags asked of Redis, by outcome: found, created, unusable, forgotten.", "outcome")
	cacheFailed = describe("cache_failures_total", "Times that Redis did not do what it was asked.")
	cacheRaised = describe("cache_epoch_raises_total", "Times that a shard's cache_epoch was raised because Redis was away.")
)

// Describe names all metrics.
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{poolConnections, poolWaits, poolWaited, jobPages, jobFailed, jobSeconds, outboxDepth, outboxDue,
		outboxAge, outboxOverdue, outboxFailed, clockAhead, cacheCopies, cacheTags, cacheFailed, cacheRaised} {
		to <- d
	}
}

// Collect reads them.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels []string) {
		m, err := prometheus.NewConstMetric(d, kind, value, labels...)
		if err != nil {
			m = prometheus.NewInvalidMetric(d, err)
		}
		to <- m
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		send(d, prometheus.GaugeValue, value, labels)
	}
	count := func(d *prometheus.Desc, value float64, labels ...string) {
		send(d, prometheus.CounterValue, value, labels)
	}
	for _, p := range c.b.Cluster.Pools() {
		gauge(poolConnections, float64(p.Open), p.Shard, "open")
		gauge(poolConnections, float64(p.InUse), p.Shard, "in_use")
		gauge(poolConnections, float64(p.Idle), p.Shard, "idle")
		count(poolWaits, float64(p.Waits), p.Shard)
		count(poolWaited, p.Waited.Seconds(), p.Shard)
	}
	for kind, w := range c.b.Work() {
		count(jobPages, float64(w.Pages), kind)
		count(jobFailed, float64(w.Failed), kind)
		count(jobSeconds, w.Seconds, kind)
	}
	count(clockAhead, float64(c.b.AheadOfClock()))
	cache := c.b.CacheStatus()
	for _, copies := range cache.Copies {
		count(cacheCopies, float64(copies.Hits), copies.Kind, "hit")
		count(cacheCopies, float64(copies.Misses), copies.Kind, "miss")
	}
	count(cacheTags, float64(cache.Tags.Found), "found")
	count(cacheTags, float64(cache.Tags.Created), "created")
	count(cacheTags, float64(cache.Tags.Unusable), "unusable")
	count(cacheTags, float64(cache.Tags.Invalidated), "forgotten")
	count(cacheFailed, float64(cache.Tags.Failures))
	count(cacheRaised, float64(cache.Tags.Raised))
	outbox, failed := c.countOutbox()
	count(outboxFailed, failed)
	now := time.Now()
	for _, s := range outbox {
		labels := []string{strconv.Itoa(int(s.Shard)), s.Kind}
		gauge(outboxDepth, float64(s.Count), labels...)
		gauge(outboxDue, float64(s.Due), labels...)
		gauge(outboxAge, now.Sub(s.Oldest.Time()).Seconds(), labels...)
		overdue := 0.0
		if s.DueSince != 0 {
			overdue = now.Sub(s.DueSince.Time()).Seconds()
		}
		gauge(outboxOverdue, overdue, labels...)
	}
}

// countOutbox counts when the last count is old. Of a shard that is away nothing is shown.
func (c *collector) countOutbox() ([]social.OutboxStatus, float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.counted) < outboxEvery {
		return c.outbox, c.failed
	}
	// Prometheus gives its collectors no context.
	ctx, cancel := context.WithTimeout(context.Background(), outboxPatience)
	defer cancel()
	outbox, err := c.b.OutboxStatus(ctx)
	if err != nil {
		c.failed++
	}
	c.counted, c.outbox = time.Now(), outbox
	return c.outbox, c.failed
}
