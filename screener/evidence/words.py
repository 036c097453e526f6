"""What the pages of a bundle say, in English and Chinese; what is told of places is of China."""

from __future__ import annotations

from typing import Final, Literal

Language = Literal["en", "zh"]

WORDS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "title": "Case {case}: {name}",
        "unnamed": "unnamed",
        "suggested": "Suggested by the screener; nobody has confirmed that these contacts belong together.",
        "confirmed": "Confirmed by a person.",
        "who": "Who",
        "says": "The caller claims to be",
        "amount": "Claimed amount",
        "due": "To be paid by",
        "call_back": "To be called back at",
        "threat": "Wording that threatens",
        "collection": "Wording of collection",
        "pretext": "Pretext",
        "company": "The caller claims to be",
        "numbers": "Numbers",
        "withheld": "withheld",
        "often": "How often",
        "counts": "{call} calls, {message} messages, {visit} visits, {letter} letters",
        "when": "From {first} to {last}",
        "incidents": "Incidents",
        "no_packs": "No rule pack is on (packs in screener.yaml).",
        "no_incidents": "The rules that are switched on were kept.",
        "undecided": "not decided",
        "soft": "recommended",
        "proof": "Proof: entries",
        "unless": "unless",
        "timeline": "Timeline",
        "time": "Time",
        "kind": "Kind",
        "number": "Number",
        "called": "Called",
        "ended": "Ended",
        "said": "What was said, notes",
        "files": "Files",
        "entries": "entries",
        "where": "Where a complaint goes (China)",
        "ask": "A complaint names the institution, gives a short account and a claim. Asked for are times, "
        "what was done, recordings, screenshots and records of calls.",
        "heard": "Found by a program in transcripts and notes; listen before you cite it.",
        "blanked": "Numbers called and names of others are blanked in writing; sounds are as recorded.",
        "print": "Summary for a complaint",
        "call": "call",
        "message": "message",
        "visit": "visit",
        "letter": "letter",
        "remark": "remark",
        "withdrawn": "note, withdrawn",
        "withdrawn_by": "Withdrawn {at} by {by}: {because}. It does not count; its files are left out.",
        "robot": "robot",
        "key": "Key to press",
        "opt_out": "Way to be called no more",
        "allow": "let through",
        "challenge": "asked for a key",
        "voicemail": "to the voicemail",
        "reject": "refused",
        "answered": "answered",
        "recorded": "recorded",
        "rejected": "refused",
        "busy": "busy",
        "unanswered": "not answered",
        "abandoned": "hung up",
        "delivered": "delivered",
        "held": "held",
        "filed": "filed",
        "unreachable": "telephone not reachable",
        "released": "released",
        "unknown": "unknown",
    },
    "zh": {
        "title": "案件 {case}：{name}",
        "unnamed": "未命名",
        "suggested": "由系统归并，尚未经人确认这些联系属于同一方。",
        "confirmed": "已由本人确认。",
        "who": "对方",
        "says": "对方自称",
        "amount": "主张金额",
        "due": "要求还款日",
        "call_back": "要求回拨",
        "threat": "威胁性用语",
        "collection": "催收用语",
        "pretext": "借口",
        "company": "对方自称",
        "numbers": "来电号码",
        "withheld": "未显示",
        "often": "次数",
        "counts": "电话 {call} 次，短信 {message} 条，上门 {visit} 次，信函 {letter} 封",
        "when": "自 {first} 至 {last}",
        "incidents": "涉嫌违规",
        "no_packs": "未启用任何规则包（screener.yaml 的 packs），因此未作比对。",
        "no_incidents": "未发现违反已启用规则的情形。",
        "undecided": "不能断定",
        "soft": "倡导性",
        "proof": "依据：第",
        "unless": "除非",
        "timeline": "时间线",
        "time": "时间",
        "kind": "类型",
        "number": "号码",
        "called": "被叫",
        "ended": "结果",
        "said": "所述内容、备注",
        "files": "文件",
        "entries": "项",
        "where": "投诉渠道（中国）",
        "ask": "投诉应写明被投诉机构、简要经过和诉求。通常要求提供：时间、行为、录音、截图、通话记录。",
        "heard": "由程序从转写和备注中找出；引用前请听录音核对。",
        "blanked": "文字中的被叫号码和第三方姓名已隐去；录音保持原样。",
        "print": "投诉摘要",
        "call": "电话",
        "message": "短信",
        "visit": "上门",
        "letter": "信函",
        "remark": "备注",
        "withdrawn": "备注（已撤回）",
        "withdrawn_by": "已于 {at} 由 {by} 撤回：{because}。不计入任何统计，其附件未收入。",
        "robot": "机器人",
        "key": "要求按键",
        "opt_out": "拒绝再来电的方式",
        "allow": "放行",
        "challenge": "要求按键验证",
        "voicemail": "转语音信箱",
        "reject": "拒接",
        "answered": "已接听",
        "recorded": "已录音",
        "rejected": "已拒接",
        "busy": "占线",
        "unanswered": "无人接听",
        "abandoned": "对方挂断",
        "delivered": "已送达",
        "held": "已扣留",
        "filed": "已归档",
        "unreachable": "话机无法接通",
        "released": "已放行",
        "unknown": "未知",
    },
}

PLACES: Final[dict[Language, tuple[tuple[str, str], ...]]] = {
    "en": (
        ("12378", "National Financial Regulatory Administration: lenders, agencies; about 15 working days"),
        ("12363", "People's Bank of China: credit records"),
        ("National Internet Finance Association", "its reporting platform: online lenders"),
        ("12321", "nuisance calls and messages"),
        ("110", "police: threats"),
    ),
    "zh": (
        ("12378", "国家金融监督管理总局：放贷机构及其催收机构；约15个工作日答复"),
        ("12363", "中国人民银行：征信"),
        ("中国互联网金融协会", "举报平台：网络贷款"),
        ("12321", "骚扰电话、垃圾短信"),
        ("110", "公安：威胁、恐吓"),
    ),
}  # fmt: skip

README: Final[dict[Language, str]] = {
    "en": """\
{title}

index.html       the case, with the recordings; opens in any browser, without network
summary.en.html  what a complaint asks for; print it or save it as PDF
summary.zh.html  the same in Chinese
timeline.csv     all entries, for a spreadsheet
calls.json       the same, for programs
recordings/      sound as Asterisk recorded it: the caller's leg, and both legs (mix)
attachments/     files that a person added
ledger.jsonl     the ledger's rows of this case, each with its place in the hash chain
SHA256SUMS       the SHA-256 of every file but itself and its signature

Nothing was changed since the export, if this says OK for each file (none may be added either):

    sha256sum -c SHA256SUMS

The list itself is signed with the Ed25519 key of the installation that made it:

    openssl pkeyutl -verify -pubin -inkey public-key.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig

Anybody can make a key: compare public-key.pem with a copy that was kept elsewhere before the dispute. Both
checks at once, and for files that were added: screener evidence verify BUNDLE --key FILE

A line of ledger.jsonl has "hash", the SHA-256 of the JSON text
["before",seq,"pbx","call_id","kind",at_us,"digest"] without spaces, and "digest", the SHA-256 of "salt"
followed by "body". Lines without a body are of others, in between, or were erased or withheld: they link the
chain up to the signed checkpoint at its end.
{faults}""",
    "zh": """\
{title}

index.html       案件全貌，附录音；任何浏览器都能打开，无需联网
summary.zh.html  投诉摘要：可打印或另存为 PDF
summary.en.html  同一摘要的英文版
timeline.csv     全部条目，供电子表格使用
calls.json       同样内容，供程序使用
recordings/      Asterisk 录下的原声：对方一侧（caller），以及双方混音（mix）
attachments/     由人添加的文件
ledger.jsonl     本案件在台账中的各行，以及每一行在哈希链中的位置
SHA256SUMS       除它自身及其签名外，每个文件的 SHA-256

如果下面的命令对每个文件都显示 OK，则导出后未作任何改动（也不应多出任何文件）：

    sha256sum -c SHA256SUMS

这份清单由导出它的系统用 Ed25519 密钥签名：

    openssl pkeyutl -verify -pubin -inkey public-key.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig

密钥谁都能造：请把 public-key.pem 与争议发生之前另行保存的副本比对。一次完成两项核对并检查有无多出的文件：
screener evidence verify BUNDLE --key FILE

ledger.jsonl 每行的 "hash" 是以下 JSON 文本（不含空格）的 SHA-256：
["before",seq,"pbx","call_id","kind",at_us,"digest"]
"digest" 是 "salt" 后接 "body" 的 SHA-256。没有 body 的行属于夹在中间的其他来电，
或已被抹除、未予提供：它们把哈希链一直接到末尾带签名的检查点。
{faults}""",
}
"""Both stand in README.txt, one below the other."""
