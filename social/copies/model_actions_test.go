package copies

import (
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// choice is something that may happen in a run, by its name.
type choice map[string]func(*rapid.T)

// one has one of them happen.
func (c choice) one(t *rapid.T) {
	names := slices.Sorted(maps.Keys(c))
	c[rapid.SampledFrom(names).Draw(t, "which")](t)
}

// actions are what a run is made of, all equally likely.
func (m *model) actions() choice {
	process, key := rapid.IntRange(0, 1), rapid.IntRange(0, len(m.keys)-1)
	faults, reliefs := m.faults(), m.reliefs()
	return choice{
		"begin": func(t *rapid.T) {
			m.readers = append(m.readers, m.begin(process.Draw(t, "process"), key.Draw(t, "key")))
		},
		"step": func(t *rapid.T) {
			for range rapid.IntRange(0, len(m.readers)).Draw(t, "steps") {
				m.step(t, m.readers[rapid.IntRange(0, len(m.readers)-1).Draw(t, "reader")])
			}
			m.readers = slices.DeleteFunc(m.readers, func(r *reader) bool { return r.stage == ended })
		},
		"finish": func(t *rapid.T) {
			if len(m.readers) > 0 {
				i := rapid.IntRange(0, len(m.readers)-1).Draw(t, "reader")
				m.finish(t, m.readers[i])
				m.readers = append(m.readers[:i], m.readers[i+1:]...)
			}
		},
		"read": func(t *rapid.T) {
			for range rapid.IntRange(1, 5).Draw(t, "reads") {
				m.finish(t, m.begin(process.Draw(t, "process"), key.Draw(t, "key")))
			}
		},
		"write": func(t *rapid.T) {
			m.acknowledge(m.commit(process.Draw(t, "process"), key.Draw(t, "key")))
		},
		"commit": func(t *rapid.T) {
			m.writers = append(m.writers, m.commit(process.Draw(t, "process"), key.Draw(t, "key")))
		},
		"acknowledge": func(t *rapid.T) {
			if len(m.writers) > 0 {
				i := rapid.IntRange(0, len(m.writers)-1).Draw(t, "writer")
				w := m.writers[i]
				m.writers = append(m.writers[:i], m.writers[i+1:]...)
				m.acknowledge(w)
			}
		},
		"fault": func(t *rapid.T) {
			if rapid.IntRange(0, 2).Draw(t, "chance") == 2 { // otherwise Redis would be away most of the time
				faults.one(t)
			}
		},
		"relief": reliefs.one,
	}
}

// faults are what can befall this kind of Redis.
func (m *model) faults() choice {
	w, process := m.w, rapid.IntRange(0, 1)
	all := choice{
		"flush":      func(*rapid.T) { w.flush() },
		"remember":   func(*rapid.T) { w.remember() },
		"refuse":     func(*rapid.T) { w.refuse("get", "mget", "set", "del") },
		"refuse del": func(*rapid.T) { w.refuse("del") },
		"no epochs":  func(t *rapid.T) { w.processes[process.Draw(t, "process")].cache.RaiseTimeoutForTest(1) },
		"lose": func(t *rapid.T) {
			if len(w.servers) > 1 && rapid.IntRange(1, 20).Draw(t, "chance") < 20 {
				return // a node of a Redis Cluster that comes back waits 2 s before it serves
			}
			m.counts.losses++
			m.died(w.lose())
		},
	}
	if w.standby != nil {
		all["fail over"] = func(t *rapid.T) {
			m.counts.failovers++
			w.failOver(rapid.Bool().Draw(t, "replicated"))
		}
		all["fail over and back"] = m.failOverAndBack
	}
	if w.proxies[0] != nil {
		all["cut"] = m.cut
		all["freeze"] = m.freeze
		all["lose an answer"] = m.loseAnswer
		all["lose another answer"] = m.loseAnswer // what it is after is seldom hit
	}
	return all
}

// reliefs undo faults.
func (m *model) reliefs() choice {
	w, process := m.w, rapid.IntRange(0, 1)
	return choice{
		"allow":  func(*rapid.T) { w.refuse() },
		"settle": func(t *rapid.T) { w.processes[process.Draw(t, "process")].settle() },
		"check":  func(*rapid.T) { w.check() },
		"epochs": func(t *rapid.T) { w.processes[process.Draw(t, "process")].cache.RaiseTimeoutForTest(2 * time.Second) },
		"reach": func(*rapid.T) {
			for _, way := range w.proxies {
				if way != nil {
					way.cut(false)
				}
			}
		},
		"hear":      func(*rapid.T) { w.known() },
		"heal":      func(*rapid.T) { w.heal() },
		"heal more": func(*rapid.T) { w.heal() },
	}
}

// cut puts Redis out of reach of one process. What that one writes the other hears of by the cache_epochs.
func (m *model) cut(t *rapid.T) {
	m.counts.cuts++
	process := rapid.IntRange(0, 1).Draw(t, "process")
	key := rapid.IntRange(0, len(m.keys)-1).Draw(t, "key")
	m.meanwhile(t, rapid.IntRange(0, 1), key)
	m.w.proxies[process].cut(true)
	m.meanwhile(t, rapid.IntRange(0, 1), key)
	if rapid.Bool().Draw(t, "hear") {
		m.w.known()
		m.meanwhile(t, rapid.Just(1-process), key)
	}
}

// freeze leaves one process or both without an answer for some actions, each of which takes 250 ms. What was asked
// meanwhile is carried out late, when nobody waits for the answer any more.
func (m *model) freeze(t *rapid.T) {
	m.counts.freezes++
	whom := rapid.IntRange(0, 2).Draw(t, "whom")
	if whom == 2 {
		m.w.freeze(true)
	} else {
		m.w.proxies[whom].hold(asked, true)
	}
	m.meanwhile(t, rapid.IntRange(0, 1), rapid.IntRange(0, len(m.keys)-1).Draw(t, "key"))
	if whom == 2 {
		m.w.freeze(false)
	} else {
		m.w.proxies[whom].hold(asked, false)
	}
}

// failOverAndBack has the standby take over for some actions, and then hand back to what the other held before.
func (m *model) failOverAndBack(t *rapid.T) {
	m.counts.failovers++
	key := rapid.IntRange(0, len(m.keys)-1).Draw(t, "key")
	m.w.heal()
	m.meanwhile(t, rapid.IntRange(0, 1), key)
	m.w.failOver(true)
	m.w.heal()
	m.meanwhile(t, rapid.IntRange(0, 1), key)
	m.w.failOver(false)
	m.w.heal()
	m.meanwhile(t, rapid.IntRange(0, 1), key)
}

// meanwhile has processes read and write one thing while it is disturbed.
func (m *model) meanwhile(t *rapid.T, process *rapid.Generator[int], key int) {
	for range rapid.IntRange(0, 4).Draw(t, "actions") {
		if rapid.Bool().Draw(t, "reads") {
			m.finish(t, m.begin(process.Draw(t, "process"), key))
		} else {
			m.acknowledge(m.commit(process.Draw(t, "process"), key))
		}
	}
}

// loseAnswer has a reader's request be carried out, and the connection break before the answer. In between the other
// process reads and writes the same thing.
func (m *model) loseAnswer(t *rapid.T) {
	process := rapid.IntRange(0, 1).Draw(t, "process")
	if m.w.processes[process].owns() { // the embedded Redis, and there is no proxy in its way
		process = 1 - process
	}
	m.w.heal()
	key := rapid.IntRange(0, len(m.keys)-1).Draw(t, "key")
	r, way := m.begin(process, key), m.w.proxies[process]
	m.readers = append(m.readers, r)
	m.step(t, r)
	if rapid.IntRange(0, 3).Draw(t, "creates") > 0 {
		m.w.flush()
		m.step(t, r)
	}
	exchange := m.exchange(r)
	if exchange == nil {
		return
	}
	way.hold(answered, true)
	answer := make(chan error, 1)
	go func() { answer <- exchange() }()
	soon(m.w.t, "the request is carried out", func() bool { return way.holding(answered) || len(answer) > 0 })
	if len(answer) == 0 && r.stage == creating {
		m.counts.lostAnswers++
	}
	m.meanwhile(t, rapid.Just(1-process), key)
	way.drop()
	way.hold(answered, false)
	m.exchanged(r, <-answer)
}
