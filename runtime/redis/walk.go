package redis

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// walk is the progress of a listing of many tasks: queue by queue, and in each
// collection by collection, from the first in line. It is also the cursor.
//
// In a sorted set the next task is the one after the last. A list has no such
// order: tasks leave at the end where the listing begins, and cancelled ones
// anywhere. So the walk records how far from the end it was, and some of the
// tasks that it passed. The last of them that is still there shows how far the
// list has moved.
//
// The newest first it goes the other way through the collections, and through
// each of them. Tasks then come at the end of a list where it begins.
type walk struct {
	Queue      string `json:"q"`
	Collection string `json:"c"`
	// Last is the last task seen, Score its score in a sorted set.
	Last  string `json:"l,omitempty"`
	Score string `json:"s,omitempty"`
	// Passed is how many entries of a list were seen, and Seen some of the
	// last ones.
	Passed int64    `json:"p,omitempty"`
	Seen   []string `json:"e,omitempty"`
	// Skip is the last task of a sorted listing before: all tasks up to it
	// were listed.
	Skip   string `json:"k,omitempty"`
	Newest bool   `json:"n,omitempty"`
}

// precedes reports whether a collection comes before another in the walk.
func (w *walk) precedes(a, b string) bool {
	i, j := slices.Index(collections, a), slices.Index(collections, b)
	return !w.Newest && i < j || w.Newest && i > j
}

// in is the walk at the beginning of a collection.
func (w *walk) in(queue, collection string) *walk {
	return &walk{Queue: queue, Collection: collection, Skip: w.Skip, Newest: w.Newest}
}

const walkPrefix = "walk:"

func (w *walk) cursor() string {
	b, _ := json.Marshal(w) // it has only fields that can be encoded
	return walkPrefix + base64.RawURLEncoding.EncodeToString(b)
}

func parseWalk(cursor string) (*walk, error) {
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(cursor, walkPrefix))
	w := new(walk)
	if err == nil {
		err = json.Unmarshal(b, w)
	}
	if err != nil || !slices.Contains(collections, w.Collection) || w.Passed < 0 {
		return nil, notACursor(cursor)
	}
	return w, nil
}

// walk fills the page from the walk's position, and returns the cursor of the
// next.
func (p *page) walk(ctx context.Context, queues, names []string, w *walk) (string, error) {
	first, _ := slices.BinarySearch(queues, w.Queue)
	for chunk := range slices.Chunk(queues[first:], sizesAtOnce) {
		if w.Queue < chunk[0] {
			w = w.in(chunk[0], names[0])
		}
		if p.looked > 0 && time.Since(p.began) > lookTime {
			return w.cursor(), nil
		}
		sizes, err := p.sizes(ctx, chunk)
		if err != nil {
			return "", err
		}
		for i, queue := range chunk {
			for _, c := range names {
				if queue == w.Queue && w.precedes(c, w.Collection) || sizes[i][c] == 0 {
					continue
				}
				if queue != w.Queue || c != w.Collection {
					w = w.in(queue, c)
				}
				full, err := p.collection(ctx, w)
				if err != nil {
					return "", err
				}
				if full {
					return w.cursor(), nil
				}
			}
		}
		p.looked++
	}
	return "", nil
}

// collection adds tasks of the walk's current collection, until there are no
// more or the page is full.
func (p *page) collection(ctx context.Context, w *walk) (full bool, err error) {
	resume := w.Last != ""
	for {
		var ids, scores []string
		if isList(w.Collection) {
			ids, err = p.listed(ctx, w, resume)
		} else {
			ids, scores, err = p.ranked(ctx, w)
		}
		if err != nil {
			return false, err
		}
		if len(ids) == 0 {
			return false, nil
		}
		resume = false
		places := make([]place, len(ids))
		for i, id := range ids {
			places[i] = place{w.Queue, id}
		}
		n, full, err := p.add(ctx, places, w.Collection, w.Skip)
		if err != nil {
			return false, err
		}
		w.pass(ids[:n], scores)
		if full {
			return true, nil
		}
	}
}

// pass records tasks that were looked at.
func (w *walk) pass(ids, scores []string) {
	n := len(ids)
	w.Last = ids[n-1]
	if scores != nil {
		w.Score = scores[n-1]
		return
	}
	w.Passed += int64(n)
	w.Seen = nil
	for back := 1; back <= n; back *= 2 {
		w.Seen = append(w.Seen, ids[n-back])
	}
}

// listed returns the next entries of a list, from its end.
func (p *page) listed(ctx context.Context, w *walk, resume bool) ([]string, error) {
	key := p.e.queueKey(w.Queue, w.Collection)
	if resume {
		if err := p.catchUp(ctx, key, w); err != nil {
			return nil, spoilt(err)
		}
	}
	if w.Newest {
		ids, err := p.e.db.LRange(ctx, key, w.Passed, w.Passed+int64(p.lot)-1).Result()
		return ids, spoilt(err)
	}
	ids, err := p.e.db.LRange(ctx, key, -w.Passed-int64(p.lot), -w.Passed-1).Result()
	slices.Reverse(ids)
	return ids, spoilt(err)
}

// aroundList is how many entries of a list are searched on either side of the
// walk's position.
const aroundList = 2000

// catchUp sets how many entries of a list the walk has passed, by the seen
// entries that are still there. If none is, workers have taken all that were
// passed, or the caller has deleted them.
func (p *page) catchUp(ctx context.Context, key string, w *walk) error {
	if w.Newest {
		return p.catchUpNewest(ctx, key, w)
	}
	around, err := p.e.db.LRange(ctx, key, -w.Passed-aroundList, -max(w.Passed-aroundList, 1)).Result()
	if err != nil {
		return err
	}
	slices.Reverse(around)
	from := max(w.Passed-aroundList, 1) - 1 // entries before around
	for _, id := range w.Seen {
		if i := slices.Index(around, id); i >= 0 {
			w.Passed = from + int64(i) + 1
			return nil
		}
	}
	for _, id := range w.Seen {
		at, err := p.e.db.LPos(ctx, key, id, redis.LPosArgs{Rank: -1, MaxLen: w.Passed}).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return err
		}
		size, err := p.e.db.LLen(ctx, key).Result()
		w.Passed = size - at
		return err
	}
	w.Passed = 0
	return nil
}

// catchUpNewest is catchUp for a walk from the end where tasks come.
func (p *page) catchUpNewest(ctx context.Context, key string, w *walk) error {
	from := max(w.Passed-aroundList, 0)
	around, err := p.e.db.LRange(ctx, key, from, w.Passed+aroundList).Result()
	if err != nil {
		return err
	}
	for _, id := range w.Seen {
		if i := slices.Index(around, id); i >= 0 {
			w.Passed = from + int64(i) + 1
			return nil
		}
	}
	for _, id := range w.Seen {
		at, err := p.e.db.LPos(ctx, key, id, redis.LPosArgs{}).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		w.Passed = at + 1
		return err
	}
	w.Passed = 0
	return nil
}

// ranked returns the next members of a sorted set, with their scores.
func (p *page) ranked(ctx context.Context, w *walk) (ids, scores []string, err error) {
	key := p.e.queueKey(w.Queue, w.Collection)
	start := int64(0)
	if w.Last != "" {
		if start, err = p.rankAfter(ctx, key, w); err != nil {
			return nil, nil, spoilt(err)
		}
	}
	read := p.e.db.ZRangeWithScores
	if w.Newest {
		read = p.e.db.ZRevRangeWithScores
	}
	zs, err := read(ctx, key, start, start+int64(p.lot)-1).Result()
	for _, z := range zs {
		id, _ := z.Member.(string)
		ids, scores = append(ids, id), append(scores, strconv.FormatFloat(z.Score, 'g', -1, 64))
	}
	return ids, scores, spoilt(err)
}

// rankAfter returns the rank of the member after the walk's last one, which
// may be gone or have another score by now.
func (p *page) rankAfter(ctx context.Context, key string, w *walk) (int64, error) {
	pipe := p.e.db.Pipeline()
	low, high, rankOf := "-inf", "("+w.Score, pipe.ZRank
	if w.Newest {
		low, high, rankOf = "("+w.Score, "+inf", pipe.ZRevRank
	}
	before := pipe.ZCount(ctx, key, low, high)
	score := pipe.ZScore(ctx, key, w.Last)
	rank := rankOf(ctx, key, w.Last)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return 0, err
	}
	if score.Err() == nil && strconv.FormatFloat(score.Val(), 'g', -1, 64) == w.Score {
		return rank.Val() + 1, nil
	}
	ties, err := p.e.db.ZRangeByScore(ctx, key, &redis.ZRangeBy{Min: w.Score, Max: w.Score, Count: maxSorted}).Result()
	at, found := slices.BinarySearch(ties, w.Last) // members of one score are sorted
	if w.Newest {
		if found {
			at++
		}
		at = len(ties) - at
	}
	return before.Val() + int64(at), err
}

// spoilt takes a key of the wrong type for an empty one.
func spoilt(err error) error {
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return nil
	}
	return err
}
