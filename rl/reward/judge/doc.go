// Package judge scores completions by a generative judge: a language model behind any
// endpoint that speaks the chat completions API of OpenAI, as vLLM, SGLang, llama.cpp and
// hosted services do. DeepSeek-R1 uses its predecessor so, for answers that no rule can
// compare with the reference (arXiv 2501.12948, §2.3.3).
//
// Requests are retried with backoff when the endpoint fails, hangs or answers something that
// is no judgement; after that the verdict is an Error or a Timeout with a [FailureError],
// never a silent 0. Answers are cached on disk by the content of the request, so that a run
// that was killed asks for nothing twice, and a replayed one for nothing at all.
//
// A judge can be talked into a good score by the text it judges. Where a rule can decide,
// use a rule.
package judge
