package copies

import (
	"testing"
)

func TestStore(t *testing.T) {
	key := keyOf("a", 1)
	right := Tag{value: "AAAAAAAAAAA", epoch: 5, shard: 1, generation: 2, ok: true}
	rows := NewStore[string](2)
	rows.Put(key, right, "row")
	if v, ok := rows.Get(key, right); !ok || v != "row" {
		t.Errorf("%q, %v", v, ok)
	}
	for name, change := range map[string]func(*Tag){
		"value":      func(t *Tag) { t.value = "BAAAAAAAAAA" },
		"epoch":      func(t *Tag) { t.epoch = 6 },
		"shard":      func(t *Tag) { t.shard = 0 },
		"generation": func(t *Tag) { t.generation = 3 },
		"ok":         func(t *Tag) { t.ok = false },
	} {
		other := right
		change(&other)
		if _, ok := rows.Get(key, other); ok {
			t.Errorf("served under another %s", name)
		}
	}
	unusable := right
	unusable.ok = false
	rows.Put(key, unusable, "other")
	rows.Put(keyOf("a", 2), right, "2")
	if v, ok := rows.Get(key, right); !ok || v != "row" {
		t.Errorf("%q, %v after a put under an unusable tag", v, ok)
	}
	rows.Put(keyOf("a", 3), right, "3")
	if _, ok := rows.Get(keyOf("a", 2), right); ok {
		t.Error("the least recently used one is still there")
	}
	if v, ok := rows.Get(key, right); !ok || v != "row" {
		t.Errorf("%q, %v: the more recently used one is gone", v, ok)
	}
	other := right
	other.value = "CAAAAAAAAAA"
	rows.Put(key, other, "newer")
	if v, ok := rows.Peek(key); !ok || v != "newer" {
		t.Errorf("%q, %v: Peek asks for no tag", v, ok)
	}
	if _, ok := rows.Peek(keyOf("a", 2)); ok {
		t.Error("Peek finds what is not there")
	}
	if hits, misses := rows.Stats(); hits != 3 || misses != 6 {
		t.Errorf("%d hits, %d misses", hits, misses)
	}
}

// TestStoreStaysSmall: the parts together hold no more than the capacity, and the newest are there.
func TestStoreStaysSmall(t *testing.T) {
	const capacity = 4 * storePartFrom
	rows := NewStore[int](capacity)
	tg := Tag{value: "AAAAAAAAAAA", ok: true}
	for i := range 4 * capacity {
		rows.Put(keyOf("a", int64(i)), tg, i)
		if v, ok := rows.Get(keyOf("a", int64(i)), tg); !ok || v != i {
			t.Fatalf("%d: %d, %v", i, v, ok)
		}
	}
	kept := 0
	for i := range 4 * capacity {
		if v, ok := rows.Get(keyOf("a", int64(i)), tg); ok && v == i {
			kept++
		}
	}
	if kept != capacity {
		t.Errorf("%d of %d kept", kept, capacity)
	}
}

func BenchmarkStoreGet(b *testing.B) {
	rows := NewStore[*int](60_000)
	t := Tag{value: "AAAAAAAAAAA", epoch: 1, ok: true}
	var keys []Key
	for i := range 40_000 {
		keys = append(keys, keyOf("m", int64(i)))
		rows.Put(keys[i], t, new(int))
	}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, ok := rows.Get(keys[i*7%len(keys)], t); !ok {
				b.Fatal("not found")
			}
		}
	})
}
