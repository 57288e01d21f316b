package social

import (
	"sync"
	"time"
)

// workMetrics counts what the workers do, by kind of job.
type workMetrics struct {
	mu    sync.Mutex
	kinds map[effectKind]*WorkCount
}

// WorkCount is what this process did of one kind of job since it started.
type WorkCount struct {
	Pages   int64
	Failed  int64
	Seconds float64
}

func (m *workMetrics) page(kind effectKind, took time.Duration, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kinds == nil {
		m.kinds = map[effectKind]*WorkCount{}
	}
	c := m.kinds[kind]
	if c == nil {
		c = &WorkCount{}
		m.kinds[kind] = c
	}
	c.Pages++
	c.Seconds += took.Seconds()
	if err != nil {
		c.Failed++
	}
}

// Work returns the counts by the name of the kind.
func (b *Backend) Work() map[string]WorkCount {
	b.metrics.mu.Lock()
	defer b.metrics.mu.Unlock()
	out := map[string]WorkCount{}
	for kind, c := range b.metrics.kinds {
		out[kind.String()] = *c
	}
	return out
}
