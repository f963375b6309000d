// Generated from docs/openapi.json by `npm run types`; not to be changed by hand.

export interface paths {
    "/project/predict": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Classify one or a few texts
         * @description Known texts are answered from the cache, the others by the model, each of them once.
         */
        post: operations["predict"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/project/bulk-predict": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Classify many texts
         * @description Known texts are answered from the cache, the others by the model, each of them once.
         *
         *     With `application/x-ndjson` each line is a body of its own, and answered by a line, in the same order, while the request still comes: its number of lines has no bound. In the place of a line that is not answered stands `{"error": …}` with a problem document. A caller has to read while it sends. Where the stream has to end before its body does, the last line says why, in the place of the first one that was not answered.
         */
        post: operations["bulk_predict"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/project/tokenize": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Say how the model reads texts
         * @description Tokens, their ids and places, and whether a text is cut. The model is not asked; a text costs a key what a known one costs.
         */
        post: operations["tokenize"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/project/explain": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Say which words speak for a label
         * @description Of one text: the effect of each word on the label, of a text with more than 64 words of runs of words. Each word is left out once and the rest is asked for; a key pays for all of these texts, needs the scope `explain`, and none of them is kept. A linear model, as `/lab`, is asked once and says exactly what it adds up.
         */
        post: operations["explain"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/project/model": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Model
         * @description Tell which model answers, and how good it was measured to be.
         */
        get: operations["model_project_model_get"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /**
         * ExplainResponse
         * @description What speaks for a label, and what against it.
         */
        ExplainResponse: {
            /**
             * Label
             * @description The best one, or the one that was asked for.
             */
            label: string;
            /**
             * Score
             * @description Its probability.
             */
            score: number;
            /**
             * Log Odds
             * @description ln(p / (1 - p)) of the label.
             */
            log_odds: number;
            /**
             * Method
             * @description `occlusion`: an effect is the difference that leaving the span out makes. `exact`: the model adds up its terms, and `base` and the effects add up to `log_odds`.
             * @enum {string}
             */
            method: "occlusion" | "exact";
            /**
             * Base
             * @description What the label has before any word; only with `exact`.
             */
            base?: number | null;
            /**
             * Spans
             * @description In their order in the text.
             */
            spans: components["schemas"]["ExplainedSpan"][];
            /**
             * Truncated
             * @description Whether the model reads only a part of the text.
             */
            truncated: boolean;
            /**
             * Prediction
             * @description All labels, as `predict` lists them.
             */
            prediction: components["schemas"]["LabelScore"][];
            model: components["schemas"]["ModelReference"];
        };
        /**
         * ExplainedSpan
         * @description One word, or run of words.
         */
        ExplainedSpan: {
            /**
             * Start
             * @description Where it begins in the text, in characters (Unicode code points).
             */
            start: number;
            /**
             * End
             * @description Behind its last character.
             */
            end: number;
            /** Text */
            text: string;
            /**
             * Effect
             * @description By how much it raises the log-odds of the label; negative: it lowers them. Null if nothing is left of the text without it.
             */
            effect: number | null;
        };
        /**
         * LabelScore
         * @description One label and its probability.
         */
        LabelScore: {
            /**
             * Label
             * @example POSITIVE
             */
            label: string;
            /**
             * Score
             * @description Probability, a float32 value.
             * @example 0.7127904295921326
             */
            score: number;
        };
        /**
         * ModelInfo
         * @description Which model this is.
         */
        ModelInfo: {
            /** Name */
            name: string;
            /** Digest */
            digest: string;
            /**
             * Bundle Digest
             * @description Of the bundle alone, whatever machine and version run it.
             */
            bundle_digest: string;
            /** Labels */
            labels: string[];
            /** Max Tokens */
            max_tokens: number | null;
            /** Engine */
            engine: string;
            /** Precision */
            precision: string;
            /** @description The first of `evaluations`. */
            evaluation: components["schemas"]["ModelQuality"] | null;
            /**
             * Evaluations
             * @description One entry a data set that the model was measured on.
             */
            evaluations: components["schemas"]["ModelQuality"][];
        };
        /**
         * ModelQuality
         * @description Measured quality of the model, and of the reference that it was made from.
         */
        ModelQuality: {
            /** Dataset */
            dataset: string;
            /** Texts */
            texts: number;
            /** Accuracy */
            accuracy: number;
            /** Reference Accuracy */
            reference_accuracy: number;
            /**
             * Agreement
             * @description Share of texts with the same label as the reference.
             */
            agreement: number;
        };
        /**
         * ModelReference
         * @description Which model answered.
         */
        ModelReference: {
            /** Name */
            name: string;
            /**
             * Digest
             * @description Changes with anything that can change an answer.
             */
            digest: string;
        };
        /**
         * PredictResponse
         * @description One prediction for each text, in the order of the texts.
         */
        PredictResponse: {
            /**
             * Predictions
             * @description For each text its labels by falling score: all, or as many as `top_k` and `threshold` leave.
             */
            predictions: components["schemas"]["RankedLabel"][][];
            /**
             * Details
             * @description Only with `detail=true`.
             */
            details?: components["schemas"]["TextDetail"][] | null;
            /** @description Only with `detail=true`. */
            model?: components["schemas"]["ModelReference"] | null;
        };
        /**
         * RankedLabel
         * @description One label and its score.
         */
        RankedLabel: {
            /**
             * Label
             * @example POSITIVE
             */
            label: string;
            /**
             * Score
             * @description Probability, or with `scores=logits` the logit; a float32 value.
             * @example 0.7127904295921326
             */
            score: number;
        };
        /**
         * TextDetail
         * @description How one text was answered.
         */
        TextDetail: {
            /**
             * Cache
             * @description Where the answer came from: this process (`l1`), Redis (`l2`), another request or text that asked for the same at the same time (`collapsed`), or the model.
             * @enum {string}
             */
            cache: "l1" | "l2" | "collapsed" | "model";
            /**
             * Tokens
             * @description Tokens that the model read, special tokens included; of a text in windows, those of all windows.
             */
            tokens: number;
            /**
             * Truncated
             * @description Whether the text was cut to the model's maximum.
             */
            truncated: boolean;
            /**
             * Windows
             * @description Only with `long=windows`: of how many windows the text was answered, 1 if it fits.
             */
            windows?: number | null;
            /**
             * Id
             * @description Identifies text and model without telling either: refer to it in feedback.
             */
            id: string;
            /**
             * Ask
             * @description There, and true, where an opinion on this answer is asked for: it belongs to the random sample that the model is judged by.
             */
            ask?: boolean | null;
        };
        /**
         * TokenizeResponse
         * @description One item for each text, in the order of the texts.
         */
        TokenizeResponse: {
            /** Texts */
            texts: components["schemas"]["TokenizedItem"][];
            model: components["schemas"]["ModelReference"];
        };
        /**
         * TokenizedItem
         * @description One text as the model reads it.
         */
        TokenizedItem: {
            /**
             * Ids
             * @description Token ids, special tokens included.
             */
            ids: number[];
            /**
             * Tokens
             * @description What each of them stands for.
             */
            tokens: string[];
            /**
             * Offsets
             * @description Where in the text each token stands, in characters (Unicode code points): first, and the one behind its last. Null for a token that does not, as special ones; null altogether where tokens are no pieces of the text, as the words and pairs of words of `/lab`.
             */
            offsets: ([
                number,
                number
            ] | null)[] | null;
            /**
             * Truncated
             * @description Whether tokens were cut off, which are left out here.
             */
            truncated: boolean;
        };
        /**
         * Violation
         * @description One thing that is wrong with the request.
         */
        Violation: {
            /**
             * Pointer
             * @description RFC 6901 JSON pointer into the body.
             * @example /text/3
             */
            pointer: string;
            /** Detail */
            detail: string;
        };
        /**
         * Problem
         * @description What went wrong, as RFC 9457 describes it.
         */
        Problem: {
            /**
             * Type
             * @description Identifies the kind of problem.
             * @example urn:mlapi:problem:overloaded
             */
            type: string;
            /** Title */
            title: string;
            /** Status */
            status: number;
            /** Detail */
            detail: string;
            /**
             * Code
             * @description Stable, for programs.
             * @example overloaded
             * @enum {string}
             */
            code: "batch_too_large" | "body_timeout" | "deadline_exceeded" | "draining" | "engine_error" | "feedback_unavailable" | "forbidden" | "foreign_form" | "head_timeout" | "headers_too_large" | "internal_error" | "invalid_content_encoding" | "invalid_http" | "invalid_json" | "invalid_model_digest" | "invalid_request" | "method_not_allowed" | "model_mismatch" | "not_cached" | "not_found" | "overloaded" | "payload_too_large" | "quota_exceeded" | "rate_limited" | "text_too_long" | "too_many_votes" | "unauthorized" | "unsupported_content_encoding" | "unsupported_media_type" | "upgrade_required" | "uri_too_long";
            /** Request Id */
            request_id: string;
            /**
             * Retryable
             * @description Whether the same request may succeed later.
             */
            retryable: boolean;
            /**
             * Errors
             * @description Each bad item.
             * @default null
             */
            errors: components["schemas"]["Violation"][] | null;
            /**
             * Violated-Policies
             * @description The quotas that the request would exceed.
             * @default null
             * @example [
             *       "daily"
             *     ]
             */
            "violated-policies": string[] | null;
        };
    };
    responses: {
        /** @description The request is not valid HTTP */
        Problem400: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description An API key is needed */
        Problem401: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                /**
                 * @description How to ask instead (RFC 6750); where there are API keys.
                 * @example Bearer realm="mlapi", error="invalid_token"
                 */
                "WWW-Authenticate"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description An API key is needed. */
        Problem401_3: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                /**
                 * @description How to ask instead (RFC 6750); where there are API keys.
                 * @example Bearer realm="mlapi", error="invalid_token"
                 */
                "WWW-Authenticate"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The API key does not allow this */
        Problem403: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The API key is not for this model. */
        Problem403_3: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The request's head did not arrive in time */
        Problem408: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Another model is served here */
        Problem409: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                /**
                 * @description Which model is served.
                 * @example 0f343b0931126a20f133d67c2b018a3b
                 */
                "Model-Digest"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The body is too large */
        Problem413: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The request's target is too long */
        Problem414: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Only JSON in UTF-8 is accepted */
        Problem415: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                /**
                 * @description What a body may be encoded in; absent if its media type was refused.
                 * @example gzip, deflate, zstd
                 */
                "Accept-Encoding"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The request is not valid */
        Problem422: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The request is not valid */
        Problem422_2: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description Too many texts from this client */
        Problem429: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                /**
                 * @description Seconds until it is worth trying again.
                 * @example 2
                 */
                "Retry-After"?: string;
                /**
                 * @description The quotas of an API key: texts, and for how many seconds (draft-ietf-httpapi-ratelimit-headers-11); where it was a quota that refused.
                 * @example "burst";q=1000;w=5, "daily";q=2000000;w=86400
                 */
                "RateLimit-Policy"?: string;
                /**
                 * @description The quota that refused, how many texts it has left, and for how long.
                 * @example "burst";r=3;t=2
                 */
                RateLimit?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The request's headers are too large */
        Problem431: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The service failed */
        Problem500: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The service failed */
        Problem500_2: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The service is overloaded */
        Problem503: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                /**
                 * @description Seconds until it is worth trying again.
                 * @example 2
                 */
                "Retry-After"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The process is stopping. */
        Problem503_3: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The deadline passed */
        Problem504: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
        /** @description The deadline passed */
        Problem504_2: {
            headers: {
                /**
                 * @description The caller's, if it was sane, else a new one.
                 * @example 3f9c0a7be1d2-1c
                 */
                "X-Request-Id"?: string;
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
    };
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    predict: {
        parameters: {
            query?: {
                /** @description Say of each text where its answer came from, how many tokens it has, and its id. */
                detail?: boolean;
                /** @description `false` refuses texts that are longer than the model reads, instead of cutting them. */
                truncate?: boolean;
                /** @description How many labels a text gets at most, the best ones; by default all. */
                top_k?: number;
                /** @description The lowest score that is listed: of a text whose scores are all lower, the list is empty. Between 0 and 1, any number with `scores=logits`. */
                threshold?: number;
                /** @description What a score is: a probability, or what the model says before its activation. */
                scores?: "probabilities" | "logits";
                /** @description What becomes of a text that is longer than the model reads: cut (`truncate`), answered by its `windows`, or refused (`refuse`). In place of `truncate`, which says the first or the last. */
                long?: "truncate" | "windows" | "refuse";
                /** @description With `long=windows`: of each label the `mean` of the windows' logits, by their tokens, or the highest. */
                combine?: "mean" | "max";
            };
            header?: {
                /** @description `no-store` keeps the texts out of the cache; `only-if-cached` never asks the model. */
                "Cache-Control"?: "no-store" | "only-if-cached" | "no-cache";
                /** @description What the body is encoded in, one of gzip, deflate, zstd; absent or `identity`: not encoded (RFC 9110). The limits on a body hold for what it decodes to, too. */
                "Content-Encoding"?: "gzip" | "deflate" | "zstd" | "identity";
                /**
                 * @description The only model that may answer: its digest, or the first 12 or more digits of it. 409 if another one is served.
                 * @example 0f343b0931126a20f133d67c2b018a3b
                 */
                "Model-Digest"?: string;
                /** @description Echoed, if it is at most 128 plain characters. */
                "X-Request-Id"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /**
                     * Text
                     * @description The texts, in the order in which they are answered; a bare string is a list of one.
                     */
                    text: string | string[];
                };
            };
        };
        responses: {
            /** @description One prediction for each text, in their order. */
            200: {
                headers: {
                    /**
                     * @description RFC 9211: `hit` if no text needed the model, `stored` if the cache keeps all that the model said.
                     * @example mlapi; hit; detail="l1=2 l2=0 collapsed=0 model=0"
                     */
                    "Cache-Status"?: string;
                    /**
                     * @description Milliseconds in the cache, in the queue and in the model.
                     * @example cache;dur=0.210, queue;dur=0.080, model;dur=3.100
                     */
                    "Server-Timing"?: string;
                    /**
                     * @description Which model answered.
                     * @example 0f343b0931126a20f133d67c2b018a3b
                     */
                    "Model-Digest"?: string;
                    /**
                     * @description How many texts were cut to the model's maximum; absent if none.
                     * @example 1
                     */
                    "X-Truncated"?: string;
                    /**
                     * @description The caller's, if it was sane, else a new one.
                     * @example 3f9c0a7be1d2-1c
                     */
                    "X-Request-Id"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "predictions": [
                     *         [
                     *           {
                     *             "label": "POSITIVE",
                     *             "score": 0.7127904295921326
                     *           },
                     *           {
                     *             "label": "NEGATIVE",
                     *             "score": 0.2872096002101898
                     *           }
                     *         ]
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["PredictResponse"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            408: components["responses"]["Problem408"];
            409: components["responses"]["Problem409"];
            413: components["responses"]["Problem413"];
            414: components["responses"]["Problem414"];
            415: components["responses"]["Problem415"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    bulk_predict: {
        parameters: {
            query?: {
                /** @description Say of each text where its answer came from, how many tokens it has, and its id. */
                detail?: boolean;
                /** @description `false` refuses texts that are longer than the model reads, instead of cutting them. */
                truncate?: boolean;
                /** @description How many labels a text gets at most, the best ones; by default all. */
                top_k?: number;
                /** @description The lowest score that is listed: of a text whose scores are all lower, the list is empty. Between 0 and 1, any number with `scores=logits`. */
                threshold?: number;
                /** @description What a score is: a probability, or what the model says before its activation. */
                scores?: "probabilities" | "logits";
                /** @description What becomes of a text that is longer than the model reads: cut (`truncate`), answered by its `windows`, or refused (`refuse`). In place of `truncate`, which says the first or the last. */
                long?: "truncate" | "windows" | "refuse";
                /** @description With `long=windows`: of each label the `mean` of the windows' logits, by their tokens, or the highest. */
                combine?: "mean" | "max";
            };
            header?: {
                /** @description `no-store` keeps the texts out of the cache; `only-if-cached` never asks the model. */
                "Cache-Control"?: "no-store" | "only-if-cached" | "no-cache";
                /** @description What the body is encoded in, one of gzip, deflate, zstd; absent or `identity`: not encoded (RFC 9110). The limits on a body hold for what it decodes to, too. */
                "Content-Encoding"?: "gzip" | "deflate" | "zstd" | "identity";
                /**
                 * @description The only model that may answer: its digest, or the first 12 or more digits of it. 409 if another one is served.
                 * @example 0f343b0931126a20f133d67c2b018a3b
                 */
                "Model-Digest"?: string;
                /** @description Echoed, if it is at most 128 plain characters. */
                "X-Request-Id"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /**
                     * Text
                     * @description The texts, in the order in which they are answered; a bare string is a list of one.
                     */
                    text: string | string[];
                };
                /**
                 * @example {"text": "This movie was fantastic!"}
                 *     {"text": 7}
                 */
                "application/x-ndjson": unknown;
            };
        };
        responses: {
            /** @description One prediction for each text, in their order. */
            200: {
                headers: {
                    /**
                     * @description RFC 9211: `hit` if no text needed the model, `stored` if the cache keeps all that the model said.
                     * @example mlapi; hit; detail="l1=2 l2=0 collapsed=0 model=0"
                     */
                    "Cache-Status"?: string;
                    /**
                     * @description Milliseconds in the cache, in the queue and in the model.
                     * @example cache;dur=0.210, queue;dur=0.080, model;dur=3.100
                     */
                    "Server-Timing"?: string;
                    /**
                     * @description Which model answered.
                     * @example 0f343b0931126a20f133d67c2b018a3b
                     */
                    "Model-Digest"?: string;
                    /**
                     * @description How many texts were cut to the model's maximum; absent if none.
                     * @example 1
                     */
                    "X-Truncated"?: string;
                    /**
                     * @description The caller's, if it was sane, else a new one.
                     * @example 3f9c0a7be1d2-1c
                     */
                    "X-Request-Id"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "predictions": [
                     *         [
                     *           {
                     *             "label": "POSITIVE",
                     *             "score": 0.7127904295921326
                     *           },
                     *           {
                     *             "label": "NEGATIVE",
                     *             "score": 0.2872096002101898
                     *           }
                     *         ]
                     *       ]
                     *     }
                     */
                    "application/json": components["schemas"]["PredictResponse"];
                    /**
                     * @example {"predictions":[[{"label":"POSITIVE","score":0.7127904295921326},{"label":"NEGATIVE","score":0.2872096002101898}]]}
                     *     {"error":{"type":"urn:mlapi:problem:invalid_request","title":"The request is not valid","status":422,"detail":"the body is not {\"text\": [\"…\"]}","code":"invalid_request","request_id":"3f9c0a7be1d2-1c","retryable":false,"errors":[{"pointer":"/text","detail":"must be a string or a list of strings, not a number"}]}}
                     */
                    "application/x-ndjson": unknown;
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            408: components["responses"]["Problem408"];
            409: components["responses"]["Problem409"];
            413: components["responses"]["Problem413"];
            414: components["responses"]["Problem414"];
            415: components["responses"]["Problem415"];
            422: components["responses"]["Problem422"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504"];
        };
    };
    tokenize: {
        parameters: {
            query?: never;
            header?: {
                /** @description What the body is encoded in, one of gzip, deflate, zstd; absent or `identity`: not encoded (RFC 9110). The limits on a body hold for what it decodes to, too. */
                "Content-Encoding"?: "gzip" | "deflate" | "zstd" | "identity";
                /**
                 * @description The only model that may answer: its digest, or the first 12 or more digits of it. 409 if another one is served.
                 * @example 0f343b0931126a20f133d67c2b018a3b
                 */
                "Model-Digest"?: string;
                /** @description Echoed, if it is at most 128 plain characters. */
                "X-Request-Id"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /**
                     * Text
                     * @description The texts, in the order in which they are answered; a bare string is a list of one.
                     */
                    text: string | string[];
                };
            };
        };
        responses: {
            /** @description One item for each text, in their order. */
            200: {
                headers: {
                    /**
                     * @description Which model answered.
                     * @example 0f343b0931126a20f133d67c2b018a3b
                     */
                    "Model-Digest"?: string;
                    /**
                     * @description The caller's, if it was sane, else a new one.
                     * @example 3f9c0a7be1d2-1c
                     */
                    "X-Request-Id"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "texts": [
                     *         {
                     *           "ids": [
                     *             101,
                     *             2986,
                     *             102
                     *           ],
                     *           "tokens": [
                     *             "[CLS]",
                     *             "fine",
                     *             "[SEP]"
                     *           ],
                     *           "offsets": [
                     *             null,
                     *             [
                     *               0,
                     *               4
                     *             ],
                     *             null
                     *           ],
                     *           "truncated": false
                     *         }
                     *       ],
                     *       "model": {
                     *         "name": "distilbert-minilm-sst2",
                     *         "digest": "0f343b0931126a20f133d67c2b018a3b"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["TokenizeResponse"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            408: components["responses"]["Problem408"];
            409: components["responses"]["Problem409"];
            413: components["responses"]["Problem413"];
            414: components["responses"]["Problem414"];
            415: components["responses"]["Problem415"];
            422: components["responses"]["Problem422_2"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500_2"];
            503: components["responses"]["Problem503"];
        };
    };
    explain: {
        parameters: {
            query?: {
                /** @description The label to explain; by default the best one. */
                label?: string;
            };
            header?: {
                /** @description What the body is encoded in, one of gzip, deflate, zstd; absent or `identity`: not encoded (RFC 9110). The limits on a body hold for what it decodes to, too. */
                "Content-Encoding"?: "gzip" | "deflate" | "zstd" | "identity";
                /**
                 * @description The only model that may answer: its digest, or the first 12 or more digits of it. 409 if another one is served.
                 * @example 0f343b0931126a20f133d67c2b018a3b
                 */
                "Model-Digest"?: string;
                /** @description Echoed, if it is at most 128 plain characters. */
                "X-Request-Id"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": {
                    /**
                     * Text
                     * @description The texts, in the order in which they are answered; a bare string is a list of one.
                     */
                    text: string | string[];
                };
            };
        };
        responses: {
            /** @description The effect of each word. */
            200: {
                headers: {
                    /**
                     * @description Which model answered.
                     * @example 0f343b0931126a20f133d67c2b018a3b
                     */
                    "Model-Digest"?: string;
                    /**
                     * @description The caller's, if it was sane, else a new one.
                     * @example 3f9c0a7be1d2-1c
                     */
                    "X-Request-Id"?: string;
                    [name: string]: unknown;
                };
                content: {
                    /**
                     * @example {
                     *       "label": "POSITIVE",
                     *       "score": 0.9762911796569824,
                     *       "log_odds": 3.718,
                     *       "method": "occlusion",
                     *       "spans": [
                     *         {
                     *           "start": 0,
                     *           "end": 4,
                     *           "text": "This",
                     *           "effect": 0.0311
                     *         },
                     *         {
                     *           "start": 5,
                     *           "end": 10,
                     *           "text": "movie",
                     *           "effect": -0.017
                     *         },
                     *         {
                     *           "start": 11,
                     *           "end": 14,
                     *           "text": "was",
                     *           "effect": 0.1024
                     *         },
                     *         {
                     *           "start": 15,
                     *           "end": 25,
                     *           "text": "fantastic!",
                     *           "effect": 3.2509
                     *         }
                     *       ],
                     *       "truncated": false,
                     *       "prediction": [
                     *         {
                     *           "label": "POSITIVE",
                     *           "score": 0.9762911796569824
                     *         },
                     *         {
                     *           "label": "NEGATIVE",
                     *           "score": 0.023708844557404518
                     *         }
                     *       ],
                     *       "model": {
                     *         "name": "distilbert-minilm-sst2",
                     *         "digest": "0f343b0931126a20f133d67c2b018a3b"
                     *       }
                     *     }
                     */
                    "application/json": components["schemas"]["ExplainResponse"];
                };
            };
            400: components["responses"]["Problem400"];
            401: components["responses"]["Problem401"];
            403: components["responses"]["Problem403"];
            408: components["responses"]["Problem408"];
            409: components["responses"]["Problem409"];
            413: components["responses"]["Problem413"];
            414: components["responses"]["Problem414"];
            415: components["responses"]["Problem415"];
            422: components["responses"]["Problem422_2"];
            429: components["responses"]["Problem429"];
            431: components["responses"]["Problem431"];
            500: components["responses"]["Problem500"];
            503: components["responses"]["Problem503"];
            504: components["responses"]["Problem504_2"];
        };
    };
    model_project_model_get: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description Successful Response */
            200: {
                headers: {
                    /**
                     * @description The caller's, if it was sane, else a new one.
                     * @example 3f9c0a7be1d2-1c
                     */
                    "X-Request-Id"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ModelInfo"];
                };
            };
            401: components["responses"]["Problem401_3"];
            403: components["responses"]["Problem403_3"];
            503: components["responses"]["Problem503_3"];
        };
    };
}
