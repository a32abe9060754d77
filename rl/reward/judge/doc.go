// Package judge scores completions with a generative judge (LLM as a judge): a language model
// behind an endpoint with the chat completions API of OpenAI, such as vLLM, SGLang, llama.cpp
// and hosted services. DeepSeek-R1 was trained with DeepSeek-V3 as judge, for answers that no
// rule can compare with the reference (arXiv 2501.12948, §2.3.3).
//
// If the endpoint fails, hangs or returns an invalid judgement, the request is retried with
// backoff. If all retries fail, the verdict is an Error or a Timeout with a [FailureError],
// never a silent 0. Answers are cached on disk by the content of the request, so a run that
// is killed and resumed does not repeat requests.
//
// The text of a completion can persuade a judge to give a high score. Use a rule if one can
// decide.
package judge
