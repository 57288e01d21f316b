package admin

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// request is one kind of work: it is done by worker w for the n-th time.
type request func(ctx context.Context, client *http.Client, w int, n int64) error

// requests are the mix, in the name of people taken by chance.
func (l Bench) requests(target string, people []benchPerson) request {
	return func(ctx context.Context, client *http.Client, w int, n int64) error {
		p := people[rand.IntN(len(people))]
		kind := l.Mix
		if kind == "mixed" {
			switch draw := rand.IntN(10); {
			case draw < 6:
				kind = "timeline"
			case draw < 9:
				kind = "account"
			default:
				kind = "post"
			}
		}
		switch kind {
		case "post":
			body := `{"content":` + strconv.Quote(benchWords(int(n))) + `}`
			return send(ctx, client, http.MethodPost, target+"/v1/messages", p.token, body, http.StatusCreated)
		case "account":
			return send(ctx, client, http.MethodGet, target+"/v1/accounts/"+people[rand.IntN(len(people))].id.String()+"/messages", p.token, "", http.StatusOK)
		}
		return send(ctx, client, http.MethodGet, target+"/v1/timelines/home", p.token, "", http.StatusOK)
	}
}

func send(ctx context.Context, client *http.Client, method, target, token, body string, want int) error {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, reader)
	if err != nil {
		return err
	}
	// The yardstick answers unpacked; both are asked for the same.
	r.Header.Set("Accept-Encoding", "identity")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != want {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 500))
		return fmt.Errorf("%s %s: %d %s", method, target, answer.StatusCode, bytes.TrimSpace(text))
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// measured is one measurement.
type measured struct {
	done, failed int64
	rate         float64
	times        []time.Duration
	failure      string
}

// load sends requests from all connections, a second unmeasured and then for the duration.
func (l Bench) load(ctx context.Context, do request) measured {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: l.Connections, MaxConnsPerHost: l.Connections,
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	var out measured
	var mu sync.Mutex
	var n atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now().Add(min(time.Second, l.Duration))
	end := begin.Add(l.Duration)
	for w := range l.Connections {
		wg.Go(func() {
			var times []time.Duration
			var failed int64
			failure := ""
			for ctx.Err() == nil {
				at := time.Now()
				if at.After(end) {
					break
				}
				err := do(ctx, client, w, n.Add(1))
				if at.Before(begin) && err == nil {
					continue
				}
				if err != nil {
					failed++
					failure = err.Error()
				}
				times = append(times, time.Since(at))
			}
			mu.Lock()
			defer mu.Unlock()
			out.times = append(out.times, times...)
			out.failed += failed
			out.failure = cmp.Or(out.failure, failure)
		})
	}
	wg.Wait()
	out.done = int64(len(out.times))
	out.rate = float64(out.done-out.failed) / time.Since(begin).Seconds()
	return out
}
