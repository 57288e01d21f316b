package main

import (
	"log/slog"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progressEvery is the time between log lines of a long command without a
// terminal.
const progressEvery = 10 * time.Second

// progress shows how far a command is: a bar on a terminal, a log line now and
// then otherwise, nothing with --quiet. It may be used by many goroutines.
type progress struct {
	mu     sync.Mutex
	what   string
	total  int64
	done   int64
	bar    *progressbar.ProgressBar
	logger *slog.Logger
	now    func() time.Time
	begun  time.Time
	logged time.Time
}

// progress begins to show work of so many parts; total is -1 when that is not
// known.
func (a *app) progress(what string, total int64) *progress {
	p := &progress{what: what, total: total, logger: a.logger(), now: time.Now}
	if !a.quiet && !a.noProgress && a.isTerminal(a.stderr) {
		p.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(a.stderr),
			progressbar.OptionSetDescription(what),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionEnableColorCodes(a.colors(a.stderr)),
			progressbar.OptionClearOnFinish(),
		)
		// What cannot be drawn on the terminal is not worth an error, here and
		// below.
		_ = p.bar.RenderBlank()
	}
	p.begun = p.now()
	p.logged = p.begun
	return p
}

// advance adds parts that are done.
func (p *progress) advance(parts int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += parts
	if p.bar != nil {
		_ = p.bar.Add64(parts)
		return
	}
	if now := p.now(); now.Sub(p.logged) >= progressEvery {
		p.logged = now
		p.log(now)
	}
}

func (p *progress) log(now time.Time) {
	attributes := []any{"done", p.done}
	if p.total >= 0 {
		attributes = append(attributes, "total", p.total)
	}
	elapsed := now.Sub(p.begun)
	if rate := float64(p.done) / elapsed.Seconds(); elapsed > 0 && rate > 0 {
		attributes = append(attributes, "per_second", int64(rate))
		if p.total > p.done {
			left := time.Duration(float64(p.total-p.done) / rate * float64(time.Second))
			attributes = append(attributes, "left", left.Round(time.Second))
		}
	}
	p.logger.Info(p.what, attributes...)
}

// finish clears the bar, so that the result stands alone.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
