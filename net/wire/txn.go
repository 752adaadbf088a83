package wire

import (
	"fmt"

	"qkv/index/kv"
	"qkv/internal/limits"
	"qkv/internal/pack"
)

// The kinds of answers to the operations of a transaction.
const (
	answerPut    = 1
	answerDelete = 2
	answerRange  = 3
	answerTxn    = 4
)

// answerFields is the number of fields of each kind.
var answerFields = [...]int{answerPut: 3, answerDelete: 4, answerRange: 5, answerTxn: 3}

// answerHeader is the maximum size of an operation's answer without its pairs and nested answers.
const answerHeader = 1 + 1 + 9 + 9 + 1 + 5

func pairsBytes(pairs []kv.KeyValue) (n int) {
	for i := range pairs {
		n += PairBytes(len(pairs[i].Key), len(pairs[i].Value))
	}
	return n
}

func appendPairs(dst []byte, pairs []kv.KeyValue) []byte {
	dst = pack.AppendArray(dst, len(pairs))
	for i := range pairs {
		dst = AppendPair(dst, &pairs[i])
	}
	return dst
}

// writtenWithBytes bounds what AppendWrittenWith appends.
func writtenWithBytes(previous []kv.KeyValue) int { return AnswerBytes + pairsBytes(previous) }

// AppendWrittenWith appends the frame that answers a put or a delete with the previous pairs.
func AppendWrittenWith(dst []byte, id uint64, revision, deleted int64, previous []kv.KeyValue) []byte {
	guess := writtenWithBytes(previous)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 5), id), uint64(kv.OK))
	dst = pack.AppendInt(pack.AppendInt(dst, revision), deleted)
	return endFrame(appendPairs(dst, previous), start, guess)
}

// TxnResultBytes bounds what AppendTxnResult appends.
func TxnResultBytes(result *kv.TxnResult) int {
	n := AnswerBytes
	for i := range result.Answers {
		n += answerHeader
		switch a := &result.Answers[i]; {
		case a.Put != nil && a.Put.Prev != nil:
			n += PairBytes(len(a.Put.Prev.Key), len(a.Put.Prev.Value))
		case a.Delete != nil:
			n += pairsBytes(a.Delete.Prev)
		case a.Range != nil:
			n += pairsBytes(a.Range.KVs)
		case a.Txn != nil:
			n += TxnResultBytes(a.Txn)
		}
	}
	return n
}

// AppendTxnResult appends the frame that answers a transaction.
func AppendTxnResult(dst []byte, id uint64, result *kv.TxnResult) []byte {
	guess := TxnResultBytes(result)
	dst, start := beginFrame(dst, guess)
	dst = pack.AppendUint(pack.AppendUint(pack.AppendArray(dst, 5), id), uint64(kv.OK))
	dst = pack.AppendBool(pack.AppendInt(dst, result.Revision), result.Succeeded)
	return endFrame(appendAnswers(dst, result.Answers), start, guess)
}

func appendAnswers(dst []byte, answers []kv.Answer) []byte {
	dst = pack.AppendArray(dst, len(answers))
	for i := range answers {
		switch a := &answers[i]; {
		case a.Put != nil:
			dst = pack.AppendUint(pack.AppendArray(dst, answerFields[answerPut]), answerPut)
			dst = pack.AppendInt(dst, a.Put.Revision)
			if a.Put.Prev == nil {
				dst = pack.AppendArray(dst, 0)
			} else {
				dst = AppendPair(pack.AppendArray(dst, 1), a.Put.Prev)
			}
		case a.Delete != nil:
			dst = pack.AppendUint(pack.AppendArray(dst, answerFields[answerDelete]), answerDelete)
			dst = appendPairs(pack.AppendInt(pack.AppendInt(dst, a.Delete.Revision), a.Delete.Deleted), a.Delete.Prev)
		case a.Range != nil:
			dst = pack.AppendUint(pack.AppendArray(dst, answerFields[answerRange]), answerRange)
			dst = pack.AppendBool(pack.AppendInt(pack.AppendInt(dst, a.Range.Revision), a.Range.Count), a.Range.More)
			dst = appendPairs(dst, a.Range.KVs)
		case a.Txn != nil:
			dst = pack.AppendUint(pack.AppendArray(dst, answerFields[answerTxn]), answerTxn)
			dst = appendAnswers(pack.AppendBool(dst, a.Txn.Succeeded), a.Txn.Answers)
		default:
			panic("wire: an operation without an answer")
		}
	}
	return dst
}

// Txn reads the answer to a transaction. The pairs' slices are parts of the frame.
func (p *Response) Txn() (*kv.TxnResult, error) {
	r, s := p.body(3, 3)
	parts := 0
	result := &kv.TxnResult{Revision: r.Int(), Succeeded: r.Bool()}
	result.Answers = readAnswers(&r, &parts, 1)
	return result, p.end(&r, s)
}

// readAnswers has the limits of a transaction: no answer exceeds them.
func readAnswers(r *pack.Reader, parts *int, depth int) (answers []kv.Answer) {
	if depth > limits.TxnDepth {
		r.Fail(fmt.Sprintf("an answer nested more than %d deep", limits.TxnDepth))
		return nil
	}
	for range r.Array() {
		if *parts++; *parts > limits.TxnParts {
			r.Fail(fmt.Sprintf("an answer of more than %d operations", limits.TxnParts))
		}
		if r.Err() != nil {
			return nil
		}
		answers = append(answers, readAnswer(r, parts, depth))
	}
	return answers
}

func readAnswer(r *pack.Reader, parts *int, depth int) (a kv.Answer) {
	fields, kind := r.Array(), r.Uint()
	if kind == 0 || kind >= uint64(len(answerFields)) {
		r.Fail(fmt.Sprintf("unknown answer kind %d", kind))
		return a
	}
	s := r.Fields(fields-1, answerFields[kind]-1)
	switch kind {
	case answerPut:
		a.Put = &kv.PutResult{Revision: r.Int()}
		if pairs := readArray(r, readPair); len(pairs) > 0 {
			a.Put.Prev = &pairs[0]
		}
	case answerDelete:
		a.Delete = &kv.DeleteResult{Revision: r.Int(), Deleted: r.Int(), Prev: readArray(r, readPair)}
	case answerRange:
		a.Range = &kv.RangeResult{Revision: r.Int(), Count: r.Int(), More: r.Bool(), KVs: readArray(r, readPair)}
	case answerTxn:
		a.Txn = &kv.TxnResult{Succeeded: r.Bool(), Answers: readAnswers(r, parts, depth+1)}
	}
	r.End(s)
	return a
}
